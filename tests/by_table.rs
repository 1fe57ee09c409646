//! A plain handle's reads of tables that this process did not write to stay on replicas that have not its last writes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::Db;
use millpond::{Report, Role};
use millpond_tests::{Cluster, until};

/// Monitors that say nothing new for as long as a test lasts.
const NEVER: Duration = Duration::from_secs(60);

const SCHEMA: &str = "
    create table cart (id int primary key, item int, left_over int default 0);
    create table shop (id int primary key, name text);
    create table branch (id int primary key, shop int references shop on delete cascade);
    insert into shop values (1, 'pond');
    insert into branch values (1, 1);
    create table audit (what text);
    create table noted (id int primary key);
    create function note() returns trigger language plpgsql as
        $$ begin insert into audit values ('noted'); return new; end $$;
    create trigger note after insert on noted for each row execute function note();
    create table ruled (id int primary key);
    create rule note as on insert to ruled do also insert into audit values ('ruled');
    create function next_code() returns int language plpgsql volatile as
        $$ begin insert into audit values ('coded'); return 1; end $$;
    create table coded (id int primary key, code int default next_code());
    create table parted (id int) partition by range (id);
    create table part_1 partition of parted for values from (0) to (100);
    create view full_cart as select * from cart;
    create function carts() returns bigint language sql stable as 'select count(*) from cart';";

/// A cluster whose replica is known to show everything, and has stopped there.
async fn up() -> Cluster {
    let cluster = Cluster::up_with(1, |builder| builder.probe_interval(NEVER).max_lag(NEVER)).await;
    cluster.db.batch_execute(SCHEMA).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    until("it is known", async || role(&cluster.db, "select from cart").await == Role::Replica).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster
}

/// As what the node runs that a read runs on.
async fn role(db: &Db, sql: &str) -> Role {
    let report = Report::new();
    db.with_report(&report).query(sql, &[]).await.unwrap();
    report.last().unwrap().role
}

async fn check(cluster: &Cluster, write: &str, on_replica: &[&str], on_primary: &[&str]) {
    cluster.db.execute(write, &[]).await.unwrap();
    for sql in on_replica {
        assert_eq!(role(&cluster.db, sql).await, Role::Replica, "{sql} behind {write}");
    }
    for sql in on_primary {
        assert_eq!(role(&cluster.db, sql).await, Role::Primary, "{sql} behind {write}");
    }
}

#[tokio::test]
async fn reads_of_other_tables_stay_on_a_replica_that_has_not_the_last_write() {
    let cluster = up().await;
    let write = "insert into cart values (1, 1)";
    let others = ["select * from item", "select * from shop join branch on shop.id = shop", "select 1"];
    let own = [
        "select * from cart",
        "select * from shop where exists (select from public.cart)",
        "select * from full_cart",
        "select carts()",
        "select count(*) from pg_catalog.pg_class",
    ];
    check(&cluster, write, &others, &own).await;
    let explained = cluster.db.explain("select * from item").to_string();
    assert_eq!(explained, "replica: a replica is fresh enough");

    // A session shows its writes by their place, whatever it reads.
    let session = cluster.db.session();
    session.execute("update cart set item = 2", &[]).await.unwrap();
    assert_eq!(role(&session, "select * from item").await, Role::Primary);
    assert_eq!(role(&cluster.db, "select * from item").await, Role::Replica);

    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("it has caught up", async || role(&cluster.db, own[0]).await == Role::Replica).await;
}

#[tokio::test]
async fn what_changes_more_than_it_names_is_behind_every_read() {
    for write in [
        "insert into noted values (1)",
        "insert into ruled values (1)",
        "insert into coded values (1)",
        "delete from shop",
        "insert into parted values (1)",
        "insert into cart select next_code()",
        "do $$ begin insert into audit values ('done'); end $$",
    ] {
        let cluster = up().await;
        check(&cluster, write, &[], &["select * from audit", "select * from item"]).await;
    }
}

#[tokio::test]
async fn a_partition_is_read_with_its_parent() {
    let cluster = up().await;
    let (own, others) = (["select * from part_1", "select * from parted"], ["select * from item"]);
    check(&cluster, "insert into part_1 values (1)", &others, &own).await;
}

#[tokio::test]
async fn a_transaction_counts_for_the_tables_of_all_its_statements() {
    let cluster = up().await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.query("select * from item", &[]).await.unwrap();
    transaction.query("select * from shop for update", &[]).await.unwrap();
    transaction.execute("insert into cart values (1, 1)", &[]).await.unwrap();
    transaction.batch_execute("update branch set shop = 1; delete from cart").await.unwrap();
    transaction.commit().await.unwrap();
    for (sql, expected) in [
        ("select * from item", Role::Replica),
        ("select * from shop", Role::Replica),
        ("select * from cart", Role::Primary),
        ("select * from branch", Role::Primary),
    ] {
        assert_eq!(role(&cluster.db, sql).await, expected, "{sql}");
    }

    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into noted values (1)", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(role(&cluster.db, "select * from item").await, Role::Primary);
}

#[tokio::test]
async fn what_is_defined_meanwhile_counts_for_what_a_transaction_wrote() {
    let cluster = up().await;
    let replica = cluster.lab.node("db-1").unwrap();
    let transaction = cluster.db.begin().await.unwrap();
    transaction.execute("insert into cart values (1, 1)", &[]).await.unwrap();
    replica.resume_replay().await.unwrap();
    let function = "create function later() returns int language sql as 'select 1'";
    cluster.db.execute(function, &[]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    until("it is known", async || role(&cluster.db, "select * from item").await == Role::Replica).await;
    replica.pause_replay().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(role(&cluster.db, "select * from item").await, Role::Primary);
}

#[tokio::test]
async fn what_is_not_seen_is_behind_every_read() {
    let cluster = up().await;
    let lease = cluster.db.get().await.unwrap();
    (*lease).execute("insert into cart values (1, 1)", &[]).await.unwrap();
    drop(lease);
    assert_eq!(role(&cluster.db, "select * from item").await, Role::Primary);
}

#[tokio::test]
async fn a_very_long_write_is_behind_every_read() {
    let cluster = up().await;
    let rows: Vec<_> = (0..1000).map(|id| format!("({id}, {id})")).collect();
    let write = format!("insert into cart (id, item) values {}", rows.join(", "));
    check(&cluster, &write, &[], &["select * from item"]).await;
}

#[tokio::test]
async fn where_code_runs_unnamed_every_write_is_behind_every_read() {
    let cluster = up().await;
    let replica = cluster.lab.node("db-1").unwrap();
    replica.resume_replay().await.unwrap();
    let operator = "create function near(int, int) returns bool language sql stable as \
        'select exists (select from cart where id = $1)'; \
        create operator @@@ (leftarg = int, rightarg = int, function = near)";
    cluster.db.batch_execute(operator).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let read = "select 1 @@@ 2 from item";
    until("it is known", async || role(&cluster.db, read).await == Role::Replica).await;
    replica.pause_replay().await.unwrap();
    check(&cluster, "insert into cart values (1, 1)", &[], &[read, "select * from item"]).await;
}
