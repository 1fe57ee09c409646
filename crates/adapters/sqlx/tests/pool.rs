//! The pool on real servers, as a service that had sqlx's would use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use millpond_lab::Lab;
use millpond_sqlx::{ErrorKind, Event, Mode, PgPool, PgPoolOptions, Session, Transaction, routing_error};
use sqlx::postgres::{PgExecutor, PgRow};
use sqlx::{Acquire, Either, Executor, PgConnection, Postgres, Row, Statement};

const IS_REPLICA: &str = "select pg_is_in_recovery()";

/// A primary and replicas, with a table, and a pool that routes.
struct Cluster {
    lab: Lab,
    pool: PgPool,
}

impl Cluster {
    async fn up(replicas: usize) -> Self {
        Self::with(replicas, PgPoolOptions::new().route()).await
    }

    async fn with(replicas: usize, options: PgPoolOptions) -> Self {
        let lab = Lab::builder().replicas(replicas).up().await.unwrap();
        lab.primary().ask("postgres", "create table item (id int primary key, name text)").await.unwrap();
        lab.caught_up().await.unwrap();
        let pool = pool(&lab, options).await;
        let this = Self { lab, pool };
        if replicas > 0 {
            until("a replica serves reads", async || is_on_replica(&this.pool).await).await;
        }
        this
    }
}

async fn pool(lab: &Lab, options: PgPoolOptions) -> PgPool {
    let options = options.settings(|builder| builder.probe_interval(Duration::from_millis(50)));
    options.connect(&lab.url("postgres")).await.unwrap()
}

async fn is_on_replica(pool: &PgPool) -> bool {
    sqlx::query_scalar(IS_REPLICA).fetch_one(pool).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

async fn count(pool: impl PgExecutor<'_>) -> i64 {
    sqlx::query_scalar("select count(*) from item").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn every_verb_of_an_executor_reads_on_a_replica_and_writes_on_the_primary() {
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    let insert = "insert into item values ($1, $2)";
    for id in 0..3 {
        let result = sqlx::query(insert).bind(id).bind("pond").execute(pool).await.unwrap();
        assert_eq!(result.rows_affected(), 1);
    }
    until("a replica shows them", async || is_on_replica(pool).await).await;
    let read = || sqlx::query("select id, pg_is_in_recovery() from item where id >= $1 order by id").bind(1);
    let on_replica = |row: &PgRow| row.get::<bool, _>(1);
    assert_eq!(read().fetch_all(pool).await.unwrap().iter().filter(|row| on_replica(row)).count(), 2);
    assert!(on_replica(&read().fetch_one(pool).await.unwrap()));
    assert!(on_replica(&read().fetch_optional(pool).await.unwrap().unwrap()));
    let rows: Vec<PgRow> = read().fetch(pool).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<i32, _>(0)).collect::<Vec<_>>(), [1, 2]);
    let many: Vec<_> = pool.fetch_many(read()).try_collect().await.unwrap();
    assert!(
        matches!(&many[..], [Either::Right(_), Either::Right(_), Either::Left(result)] if result.rows_affected() == 2)
    );
    // Several statements, without values.
    let several = sqlx::raw_sql(
        "insert into item values (7); select pg_is_in_recovery() from item where id = 7; delete from item where id = 7",
    );
    let several: Vec<_> = several.fetch_many(pool).try_collect().await.unwrap();
    assert_eq!(several.len(), 4);
    assert!(matches!(&several[1], Either::Right(row) if !row.get::<bool, _>(0)));
    let results: Vec<_> = pool.execute_many(sqlx::raw_sql("select 1; select 2")).try_collect().await.unwrap();
    assert_eq!(results.len(), 2);
    let statement = pool.prepare(sqlx::SqlStr::from_static("select $1::int + 1")).await.unwrap();
    let sum: i32 = statement.query_scalar().bind(2).fetch_one(pool).await.unwrap();
    assert_eq!(sum, 3);
    let described = pool.describe(sqlx::SqlStr::from_static("select id, name from item")).await.unwrap();
    assert_eq!(described.columns().len(), 2);
    // One that gives rows and writes.
    let ids: Vec<i32> = sqlx::query_scalar::<_, i32>("delete from item where id < $1 returning id")
        .bind(2)
        .fetch(pool)
        .try_collect()
        .await
        .unwrap();
    assert_eq!((ids.len(), count(pool).await), (2, 1));
}

#[tokio::test]
async fn reads_show_what_was_written_whatever_the_replica_does() {
    let cluster = Cluster::up(1).await;
    let (pool, session) = (&cluster.pool, cluster.pool.session());
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for id in 0..20 {
        sqlx::query("insert into item values ($1)").bind(id).execute(pool).await.unwrap();
        assert_eq!(count(pool).await, i64::from(id) + 1);
        sqlx::query("update item set name = 'pond' where id = $1").bind(id).execute(&session).await.unwrap();
        let named = "select count(*) from item where name = 'pond'";
        let named: i64 = sqlx::query_scalar(named).fetch_one(&session).await.unwrap();
        assert_eq!(named, i64::from(id) + 1);
    }
    // Without that it would be stale.
    assert_eq!(count(&pool.any()).await, 0);
}

#[tokio::test]
async fn a_transaction_is_passed_on_commits_and_is_shown() {
    async fn insert(tx: &mut Transaction<'_, Postgres>, id: i32) -> Result<(), sqlx::Error> {
        insert_by(&mut **tx, id).await?;
        rename(tx, id).await
    }
    async fn insert_by(executor: impl PgExecutor<'_>, id: i32) -> Result<(), sqlx::Error> {
        sqlx::query("insert into item values ($1)").bind(id).execute(executor).await.map(drop)
    }
    async fn rename(connection: &mut PgConnection, id: i32) -> Result<(), sqlx::Error> {
        sqlx::query("update item set name = 'pond' where id = $1")
            .bind(id)
            .execute(connection)
            .await
            .map(drop)
    }
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    insert(&mut tx, 1).await.unwrap();
    // A savepoint in it, which is taken back.
    let mut inner = tx.begin().await.unwrap();
    insert_by(&mut *inner, 2).await.unwrap();
    inner.rollback().await.unwrap();
    let mut inner = Acquire::begin(&mut tx).await.unwrap();
    insert_by(&mut *inner, 3).await.unwrap();
    inner.commit().await.unwrap();
    assert_eq!(count(&mut *tx).await, 2);
    tx.commit().await.unwrap();
    assert_eq!(count(pool).await, 2);
    let mut tx = pool.begin().await.unwrap();
    insert(&mut tx, 4).await.unwrap();
    drop(tx);
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
    let level: String = sqlx::query_scalar("show transaction_isolation").fetch_one(&mut *tx).await.unwrap();
    assert_eq!((level.as_str(), count(&mut *tx).await), ("serializable", 2));
    tx.rollback().await.unwrap();
    let mut tx = cluster.pool.any().begin_read_only().await.unwrap();
    assert!(sqlx::query_scalar::<_, bool>(IS_REPLICA).fetch_one(&mut *tx).await.unwrap());
    assert_eq!(count(&mut *tx).await, 0);
}

#[tokio::test]
async fn a_transaction_that_only_reads_is_no_write_on_the_primary_neither() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.pool.session();
    let on_primary = session.latest();
    for text in ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE -- it only reads"] {
        let mut tx = on_primary.begin_read_only_with(text).await.unwrap();
        assert!(!sqlx::query_scalar::<_, bool>(IS_REPLICA).fetch_one(&mut *tx).await.unwrap());
        let error = sqlx::query("insert into item values (1)").execute(&mut *tx).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("25006"));
        drop(tx);
        let mut tx = on_primary.begin_read_only_with(text).await.unwrap();
        assert_eq!(count(&mut *tx).await, 0);
        tx.commit().await.unwrap();
        // A write would keep it from the replica that is paused.
        assert!(sqlx::query_scalar::<_, bool>(IS_REPLICA).fetch_one(&session).await.unwrap(), "{text}");
    }
}

#[tokio::test]
async fn what_one_user_left_the_next_does_not_find() {
    let cluster = Cluster::with(0, PgPoolOptions::new().max_connections(1).route()).await;
    let pool = &cluster.pool;
    let is_clean = async || {
        let sql = "select current_setting('work_mem') = '4MB'
                       and not exists (select from pg_locks where locktype = 'advisory')
                       and not exists (select from pg_class where relpersistence = 't')
                       and not exists (select from pg_prepared_statements where name = 'mine')
                       and now() = statement_timestamp()";
        sqlx::raw_sql(sql).fetch_one(pool).await.unwrap().get::<bool, _>(0)
    };
    assert!(is_clean().await);
    let leave = "create function leave() returns void language plpgsql as
                 $$ begin perform set_config('work_mem', '1MB', false); end $$";
    pool.execute(leave).await.unwrap();
    for sql in [
        "select leave()",
        "do $$ begin perform pg_advisory_lock(1); end $$",
        "set work_mem = '1MB'",
        "select pg_advisory_lock(1)",
        "create temporary table mine (a int)",
        "prepare mine as select 1",
        "begin",
        "begin; select 1; set local work_mem = '1MB'",
    ] {
        sqlx::raw_sql(sql).execute(pool).await.unwrap();
        assert!(is_clean().await, "by the pool: {sql}");
        let mut connection = pool.acquire().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap();
        drop(connection);
        assert!(is_clean().await, "by a connection: {sql}");
        let mut tx = pool.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(is_clean().await, "in a transaction: {sql}");
    }
    // An aborted one.
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("begin; select 1/0").execute(&mut *connection).await.unwrap_err();
    drop(connection);
    assert!(is_clean().await);
}

#[tokio::test]
async fn errors_are_sqlxs_own_and_those_of_the_routing_can_be_told_apart() {
    let cluster =
        Cluster::with(0, PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(200)))
            .await;
    let pool = &cluster.pool;
    let insert = || sqlx::query("insert into item values (1)").execute(pool);
    insert().await.unwrap();
    let error = insert().await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation() && routing_error(&error).is_none());
    let error = sqlx::query("select * from nowhere").fetch(pool).try_next().await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42P01"));
    let error = sqlx::query("select 1 where false").fetch_one(pool).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::RowNotFound));
    let held = pool.acquire().await.unwrap();
    let error = count_or_error(pool).await.unwrap_err();
    assert_eq!(routing_error(&error).map(|error| error.kind()), Some(ErrorKind::Acquire), "{error}");
    drop(held);
    pool.close().await;
    assert!(matches!(count_or_error(pool).await.unwrap_err(), sqlx::Error::PoolClosed));
}

async fn count_or_error(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from item").fetch_one(pool).await
}

#[tokio::test]
async fn transactions_of_sqlxs_own_keep_reads_on_the_primary_until_they_are_over() {
    async fn begin<'c>(of: impl Acquire<'c, Database = Postgres>) -> sqlx::Transaction<'c, Postgres> {
        of.begin().await.unwrap()
    }
    let cluster = Cluster::up(1).await;
    let (pool, session) = (&cluster.pool, cluster.pool.session());
    let read =
        async |session: &Session| sqlx::query_scalar::<_, bool>(IS_REPLICA).fetch_one(session).await.unwrap();
    assert!(read(&session).await);
    let mut tx = begin(&session).await;
    sqlx::query("insert into item values (1)").execute(&mut *tx).await.unwrap();
    for _ in 0..20 {
        assert!(!read(&session).await && !is_on_replica(pool).await);
        // Another session has nothing to do with it.
        assert!(read(&pool.session()).await);
    }
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..20 {
        assert_eq!((count(&session).await, count(pool).await), (1, 1));
    }
    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("it is over, and shown", async || read(&session).await && is_on_replica(pool).await).await;
    // One whose connection breaks is found out, too.
    let mut tx = begin(pool).await;
    let kill = "select pg_terminate_backend(pg_backend_pid())";
    sqlx::query(kill).execute(&mut *tx).await.unwrap_err();
    drop(tx);
    until("it is over", async || is_on_replica(pool).await).await;
}

#[tokio::test]
async fn a_pool_that_is_not_told_to_route_records_what_it_would() {
    let cluster = Cluster::with(0, PgPoolOptions::new()).await;
    let pool = &cluster.pool;
    assert!(!is_on_replica(pool).await);
    assert_eq!(pool.status().unwrap().mode, Mode::Shadow);
    assert!(
        pool.shadow_report().unwrap().to_string().contains("pg_is_in_recovery"),
        "{}",
        pool.shadow_report().unwrap()
    );
}

#[tokio::test]
async fn a_pool_of_sqlxs_is_used_as_it_is() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let plain = sqlx::PgPool::connect(&lab.url("postgres")).await.unwrap();
    let pool = PgPool::from(plain);
    pool.execute("create table item (id int)").await.unwrap();
    let mut tx: Transaction<'_, Postgres> = pool.begin().await.unwrap();
    sqlx::query("insert into item values (1)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(count(&mut *connection).await, 1);
    assert_eq!((count(&pool).await, count(&pool.session()).await), (1, 1));
    assert!(pool.status().is_none() && pool.session().token().is_none());
}

/// How a session of one process writes a row.
#[derive(Clone, Copy, Debug)]
enum Way {
    Statement,
    Returning,
    Transaction,
    /// Of sqlx's own.
    Foreign,
    Connection,
    OwnTransactionOfAConnection,
}

async fn write(session: &Session, way: Way, id: i32) {
    async fn begin<'c>(of: impl Acquire<'c, Database = Postgres>) -> sqlx::Transaction<'c, Postgres> {
        of.begin().await.unwrap()
    }
    let insert = || sqlx::query("insert into item values ($1)").bind(id);
    match way {
        Way::Statement => drop(insert().execute(session).await.unwrap()),
        Way::Returning => {
            let id = sqlx::query("insert into item values ($1) returning id").bind(id).fetch(session);
            assert_eq!(id.count().await, 1);
        }
        Way::Transaction => {
            let mut tx = session.begin().await.unwrap();
            insert().execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        Way::Foreign => {
            let mut tx = begin(session).await;
            insert().execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        Way::Connection => drop(insert().execute(&mut *session.acquire().await.unwrap()).await.unwrap()),
        Way::OwnTransactionOfAConnection => {
            let mut connection = session.acquire().await.unwrap();
            let mut tx = begin(&mut connection).await;
            insert().execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_token_shows_in_another_process_what_was_written_here_in_whichever_way() {
    let cluster = Cluster::up(2).await;
    let (here, there) = (&cluster.pool, pool(&cluster.lab, PgPoolOptions::new().route()).await);
    until("a replica serves there, too", async || is_on_replica(&there).await).await;
    let (mut written, mut stale) = (0, 0);
    for _ in 0..50 {
        for way in [
            Way::Statement,
            Way::Returning,
            Way::Transaction,
            Way::Foreign,
            Way::Connection,
            Way::OwnTransactionOfAConnection,
        ] {
            let session = here.session();
            write(&session, way, written).await;
            written += 1;
            let token = session.token().unwrap();
            stale += i32::from(count(&there.any()).await < i64::from(written));
            let reader = there.session();
            reader.see(token).unwrap();
            assert_eq!(count(&reader).await, i64::from(written), "{way:?}");
            assert_eq!(count(&session).await, i64::from(written), "{way:?}");
            assert_eq!(count(here).await, i64::from(written), "{way:?}");
        }
    }
    assert!(stale > 0, "without tokens it would have been stale at times");
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_poll_leaves_nothing_behind() {
    let cluster = Cluster::with(0, PgPoolOptions::new().max_connections(2).route()).await;
    let pool = &cluster.pool;
    let statement = "insert into item values ($1, $2)";
    for polls in 0..40 {
        for what in 0..4 {
            let mut tx = Box::pin(async {
                match what {
                    0 => drop(sqlx::query(statement).bind(polls).bind("a").execute(pool).await),
                    1 => drop(
                        sqlx::query("select generate_series(1, 1000)").fetch(pool).collect::<Vec<_>>().await,
                    ),
                    2 => {
                        let mut tx = pool.begin().await.unwrap();
                        let _ = sqlx::query(statement).bind(polls + 1000).bind("b").execute(&mut *tx).await;
                        tx.commit().await.unwrap();
                    }
                    _ => {
                        let mut connection = pool.acquire().await.unwrap();
                        let _ = sqlx::raw_sql("begin; set work_mem = '1MB'").execute(&mut *connection).await;
                    }
                }
            });
            for _ in 0..polls {
                if futures_util::poll!(tx.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let row = sqlx::raw_sql("select current_setting('work_mem'), now() = statement_timestamp()")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!((row.get::<&str, _>(0), row.get::<bool, _>(1)), ("4MB", true), "{polls}");
    }
    until("all are back", async || pool.status().unwrap().nodes[0].in_flight == 0).await;
    let open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    until("none is in a transaction", async || {
        sqlx::query_scalar::<_, i64>(open).fetch_one(&pool.latest()).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn the_writer_pool_and_transactions_follow_a_promotion() {
    let cluster = Cluster::up(1).await;
    let (pool, writer) = (&cluster.pool, cluster.pool.writer_pool());
    let insert = |id: i32| sqlx::query("insert into item values ($1)").bind(id);
    insert(1).execute(&writer).await.unwrap();
    cluster.lab.primary().kill().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("the writer pool leads there", async || insert(2).execute(&writer).await.is_ok()).await;
    let mut tx = pool.begin().await.unwrap();
    insert(3).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(pool).await, 3);
}

#[tokio::test]
async fn a_statement_whose_tables_changed_runs_all_the_same() {
    let cluster = Cluster::with(0, PgPoolOptions::new().max_connections(1).route()).await;
    let pool = &cluster.pool;
    let all = || sqlx::query("select * from item");
    assert!(all().fetch_optional(pool).await.unwrap().is_none());
    cluster.lab.primary().ask("postgres", "alter table item add column more int default 7").await.unwrap();
    cluster.lab.primary().ask("postgres", "insert into item values (1)").await.unwrap();
    assert_eq!(all().fetch_one(pool).await.unwrap().len(), 3);
    cluster.lab.primary().ask("postgres", "alter table item drop column name").await.unwrap();
    assert_eq!(all().fetch(pool).next().await.unwrap().unwrap().len(), 2);
}

#[tokio::test]
async fn the_writer_pool_leads_to_the_primary_from_the_first_connection_on() {
    let cluster = Cluster::up(1).await;
    let ports: Vec<_> =
        cluster.lab.nodes().iter().rev().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", ports.join(","));
    for id in 0..5 {
        let pool = PgPool::connect_lazy(&url).unwrap();
        let mut tx = Acquire::begin(&pool).await.unwrap();
        sqlx::query("insert into item values ($1)").bind(id).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        pool.close().await;
        assert!(pool.is_closed());
    }
    assert_eq!(count(&cluster.pool.latest()).await, 5);
}

#[tokio::test]
async fn what_is_held_for_too_long_is_told_of_with_the_place_where_it_was_taken() {
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let options = PgPoolOptions::new().settings(move |builder| {
        let builder = builder.leak_after(Some(Duration::from_millis(100)));
        builder.on_event(move |event| {
            if let Event::Leaked { site, .. } = event {
                told.send((site.file(), site.line())).unwrap();
            }
        })
    });
    let cluster = Cluster::with(0, options).await;
    let (pool, session) = (&cluster.pool, cluster.pool.session());
    let line = line!();
    let connection = pool.acquire().await.unwrap();
    let transaction = session.begin().await.unwrap();
    let read_only = pool.begin_read_only().await.unwrap();
    let generic = Acquire::acquire(pool).await.unwrap();
    let mut sites = Vec::new();
    while sites.len() < 4 {
        let (file, line) = events.recv().await.unwrap();
        assert!(file.ends_with("tests/pool.rs"), "{file}");
        sites.push(line);
    }
    sites.sort_unstable();
    assert_eq!(sites, [line + 1, line + 2, line + 3, line + 4]);
    drop((connection, transaction, read_only, generic));
    // One that is given back in time is not told of, nor is anything twice.
    drop(pool.acquire().await.unwrap());
    let last = pool.begin().await.unwrap();
    assert_eq!(events.recv().await.unwrap().1, line!() - 1);
    drop(last);
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_prepared_statement_whose_columns_changed_gives_those_of_now() {
    let cluster = Cluster::with(0, PgPoolOptions::new().max_connections(1).route()).await;
    let pool = &cluster.pool;
    let ask = async |sql: &str| cluster.lab.primary().ask("postgres", sql).await.unwrap();
    ask("create table wide (a int, b text, c int)").await;
    ask("insert into wide values (1, 'x', 3)").await;
    let statement = pool.prepare(sqlx::SqlStr::from_static("select * from wide where a = $1")).await.unwrap();
    let read = async || statement.query().bind(1).fetch_one(pool).await.unwrap();
    assert_eq!(read().await.get::<i32, _>("c"), 3);
    ask("alter table wide drop column b").await;
    let row = read().await;
    assert_eq!((row.len(), row.get::<i32, _>("c")), (2, 3));
}
