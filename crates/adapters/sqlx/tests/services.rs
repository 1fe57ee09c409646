//! What services have beside statements: migrations, listeners, COPY, passwords that rotate, row security.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use millpond_lab::Lab;
use millpond_sqlx::{PgPool, PgPoolOptions, Switches};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolCopyExt};
use sqlx::{Executor, SqlSafeStr};

const IS_REPLICA: &str = "select pg_is_in_recovery()";

async fn up(replicas: usize, options: PgPoolOptions) -> (Lab, PgPool) {
    let lab = Lab::builder().replicas(replicas).up().await.unwrap();
    let pool = connect(&lab.url("postgres"), options).await;
    (lab, pool)
}

async fn connect(url: &str, options: PgPoolOptions) -> PgPool {
    let options = options.settings(|builder| builder.probe_interval(Duration::from_millis(50)));
    options.connect(url).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

fn migrations() -> Migrator {
    let migration = |version, sql: &'static str| {
        Migration::new(version, Cow::Borrowed("a step"), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let steps = vec![
        migration(1, "create table item (id int primary key, tenant text not null default 'none')"),
        migration(2, "create view items as select id from item"),
    ];
    Migrator { migrations: Cow::Owned(steps), ..Migrator::DEFAULT }
}

#[tokio::test]
async fn migrations_run_on_the_pool_and_on_the_writer_pool() {
    let (_lab, pool) = up(1, PgPoolOptions::new().route()).await;
    migrations().run(&pool).await.unwrap();
    // Once more finds nothing to do, by either.
    migrations().run(&pool.writer_pool()).await.unwrap();
    pool.execute("insert into item values (1)").await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from items").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn listeners_and_copies_go_by_the_writer_pool() {
    let (_lab, pool) = up(1, PgPoolOptions::new().route()).await;
    pool.execute("create table item (id int)").await.unwrap();
    let mut listener = PgListener::connect_with(&pool.writer_pool()).await.unwrap();
    listener.listen("news").await.unwrap();
    let mut copy = pool.writer_pool().copy_in_raw("copy item from stdin").await.unwrap();
    copy.send(b"1\n2\n3\n".as_slice()).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 3);
    // And by a connection of the pool's.
    let mut connection = pool.acquire().await.unwrap();
    let mut copy = connection.copy_in_raw("copy item from stdin").await.unwrap();
    copy.send(b"4\n".as_slice()).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 1);
    let rows: Vec<_> =
        connection.copy_out_raw("copy item to stdout").await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.concat(), b"1\n2\n3\n4\n");
    drop(connection);
    let count: i64 = sqlx::query_scalar("select count(*) from item").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 4);
    pool.execute("notify news, 'pond'").await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "pond");
}

#[tokio::test]
async fn a_copy_that_is_left_leaves_nothing_behind() {
    let (_lab, pool) = up(0, PgPoolOptions::new().max_connections(1).route()).await;
    pool.execute("create table item (id int)").await.unwrap();
    for _ in 0..3 {
        let mut connection = pool.acquire().await.unwrap();
        let mut copy = connection.copy_in_raw("copy item from stdin").await.unwrap();
        copy.send(b"1\n".as_slice()).await.unwrap();
        drop(copy);
        drop(connection);
        let count: i64 = sqlx::query_scalar("select count(*) from item").fetch_one(&pool).await.unwrap();
        assert_eq!(count, 0);
    }
}

#[tokio::test]
async fn passwords_rotate_while_everything_runs() {
    let lab = Lab::builder().replicas(1).password("app", "old").up().await.unwrap();
    let ask = async |sql: &str| lab.primary().ask("postgres", sql).await.unwrap();
    ask("grant pg_read_all_stats to app").await;
    lab.caught_up().await.unwrap();
    let pool = connect(&lab.url_for("app", "old", "postgres"), PgPoolOptions::new().route()).await;
    let (read, write) =
        (async || pool.fetch_one(IS_REPLICA).await, async || pool.fetch_one("select txid_current()").await);
    read().await.unwrap();
    ask("alter role app password 'new'").await;
    lab.caught_up().await.unwrap();
    let options = PgConnectOptions::from_str(&lab.primary().url_for("app", "new", "postgres")).unwrap();
    pool.set_connect_options(options);
    // Every connection there is, the monitors' among them.
    for node in lab.nodes() {
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'app'";
        node.ask("postgres", sql).await.unwrap();
    }
    until("it reads and writes by the new one", async || read().await.is_ok() && write().await.is_ok()).await;
    assert!(pool.writer_pool().fetch_one("select 1").await.is_ok());
    until("a replica reads", async || {
        sqlx::query_scalar::<_, bool>(IS_REPLICA).fetch_one(&pool).await.is_ok_and(|is_replica| is_replica)
    })
    .await;
}

#[tokio::test]
async fn a_tenant_of_a_transaction_is_nobody_elses() {
    let (_lab, pool) = up(1, PgPoolOptions::new().max_connections(2).route()).await;
    migrations().run(&pool).await.unwrap();
    for sql in [
        "alter table item enable row level security, force row level security",
        "create policy own on item using (tenant = current_setting('app.tenant', true))",
        "create role tenant; grant all on item to tenant",
        "insert into item select i, 'tenant-' || i % 4 from generate_series(1, 400) i",
    ] {
        pool.execute(sqlx::raw_sql(sql)).await.unwrap();
    }
    let of_tenant = async |number: usize| {
        let mut tx = pool.begin().await.unwrap();
        tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "set local role tenant; set local app.tenant = 'tenant-{}'",
            number % 4
        ))))
        .await
        .unwrap();
        let rows: Vec<String> =
            sqlx::query_scalar("select distinct tenant from item").fetch_all(&mut *tx).await.unwrap();
        assert_eq!(rows, [format!("tenant-{}", number % 4)]);
        // Left without an end, now and then.
        if number.is_multiple_of(3) { drop(tx) } else { tx.commit().await.unwrap() }
    };
    for batch in 0..25 {
        futures_util::future::join_all((0..8).map(|number| of_tenant(8 * batch + number))).await;
        let row: (String, Option<String>) =
            sqlx::query_as("select current_user::text, nullif(current_setting('app.tenant', true), '')")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(row, ("postgres".to_owned(), None));
    }
}

#[tokio::test]
async fn operators_send_a_table_to_the_primary_while_everything_runs() {
    let (_lab, pool) = up(1, PgPoolOptions::new().route()).await;
    pool.execute("create table item (id int)").await.unwrap();
    let on_replica =
        async |sql: &'static str| sqlx::query_scalar::<_, bool>(sql).fetch_optional(&pool).await.unwrap();
    let (item, other) =
        ("select pg_is_in_recovery() from item right join (values (1)) v on true", IS_REPLICA);
    until("a replica serves both", async || {
        on_replica(item).await == Some(true) && on_replica(other).await == Some(true)
    })
    .await;
    pool.set_switches(&Switches::default().table(None, "item"));
    assert_eq!((on_replica(item).await, on_replica(other).await), (Some(false), Some(true)));
    assert!(pool.status().unwrap().to_string().contains("table item"));
}
