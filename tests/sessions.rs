//! Traps of transactions and sessions that routers and pools fell into, each by its number in the list of them: what a connection
//! remembers must neither get lost for its caller nor reach anybody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::pin::pin;

use futures_util::poll;
use millpond::postgres::tokio_postgres::IsolationLevel;
use millpond::postgres::{Db, GenericClient, Transaction};
use millpond::{ErrorKind, Outcome};
use millpond_lab::Lab;
use millpond_tests::{Cluster, Events, builder, is_clean, one_connection, reads_on_replica, until};

const PLACE: &str = "select pg_is_in_recovery()";

async fn is_on_replica<C: GenericClient>(client: &C) -> bool {
    client.query_one_scalar(PLACE, &[]).await.unwrap()
}

async fn pid(transaction: &Transaction) -> i32 {
    transaction.query_one_scalar("select pg_backend_pid()", &[]).await.unwrap()
}

#[tokio::test]
async fn trap_14_a_transaction_that_begins_with_a_read_can_write() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    // There is no way to begin one without saying so.
    for sql in
        ["begin", "start transaction read only", "set session characteristics as transaction read only"]
    {
        let error = db.execute(sql, &[]).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
        assert!(error.to_string().contains("begin()"), "{error}");
    }
    let transaction = db.begin().await.unwrap();
    assert!(!is_on_replica(&transaction).await);
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    // One that was said to read only is told so, on a replica and on the primary.
    for db in [db.any(), db.latest()] {
        let transaction = db.begin_read_only().await.unwrap();
        transaction.query("select from item", &[]).await.unwrap();
        let error = transaction.execute("insert into item values (2, 'lake')", &[]).await.unwrap_err();
        assert_eq!((error.code(), error.outcome()), (Some("25006"), Outcome::Rejected));
    }
    assert!(
        reads_on_replica(&db.any()).await,
        "a refusal in a read-only transaction is no sign of a failover"
    );
    assert_eq!(db.status().epoch.get(), 1);
}

#[tokio::test]
async fn trap_15_a_transaction_reads_what_it_has_written() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for db in [cluster.db.clone(), cluster.db.any(), (*cluster.db.session()).clone()] {
        let transaction = db.begin().await.unwrap();
        let first = pid(&transaction).await;
        transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
        assert_eq!(transaction.query("select from item", &[]).await.unwrap().len(), 1);
        assert_eq!(pid(&transaction).await, first, "on one connection");
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn trap_16_a_token_that_comes_in_the_middle_of_a_snapshot_waits_for_the_next_one() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    let session = cluster.db.session();
    let modes = session.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    let snapshot = modes.start().await.unwrap();
    assert!(is_on_replica(&snapshot).await);
    let count = "select count(*) from item";
    assert_eq!(snapshot.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0);
    let writer = cluster.db.session();
    writer.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    session.see(writer.token()).unwrap();
    replica.wait_for_replay().await.unwrap();
    // It shows what it showed, and does not fail; the next one shows more.
    assert_eq!(snapshot.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0);
    snapshot.commit().await.unwrap();
    assert_eq!(session.query_one_scalar::<i64>(count, &[]).await.unwrap(), 1);
    replica.pause_replay().await.unwrap();
    writer.execute("insert into item values (2, 'lake')", &[]).await.unwrap();
    session.see(writer.token()).unwrap();
    let later = session.begin_read_only().await.unwrap();
    assert!(!is_on_replica(&later).await, "the replica cannot show it");
    assert_eq!(later.query_one_scalar::<i64>(count, &[]).await.unwrap(), 2);
}

#[tokio::test]
async fn trap_17_a_temporary_table_is_its_callers_and_shadows_nobody_elses() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let count = "select count(*) from item";
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0);
    for sql in [
        "create temporary table item (id int)",
        "create table pg_temp.item (id int)",
        "select * from pg_temp.item",
        "select 1 into temp t",
    ] {
        let error = db.execute(sql, &[]).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
    }
    let shadow = "create temporary table item as select n as id from generate_series(1, 3) n";
    // By the verbs that are seen, by the driver's, and in a transaction, with a statement that was prepared for the real table.
    let lease = db.get().await.unwrap();
    GenericClient::execute(&lease, shadow, &[]).await.unwrap();
    assert_eq!(GenericClient::query_one_scalar::<i64>(&lease, count, &[]).await.unwrap(), 3);
    drop(lease);
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0);
    let lease = db.get().await.unwrap();
    lease.batch_execute(shadow).await.unwrap();
    drop(lease);
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0);
    for on_commit in ["preserve rows", "drop"] {
        let transaction = db.begin().await.unwrap();
        let shadow = format!("create temporary table item on commit {on_commit} as select 1 as id");
        transaction.execute(&shadow, &[]).await.unwrap();
        assert_eq!(transaction.query_one_scalar::<i64>(count, &[]).await.unwrap(), 1);
        transaction.commit().await.unwrap();
        assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 0, "{on_commit}");
    }
    assert_eq!(db.status().nodes[0].connections, 1, "the connection is still the same");
}

#[tokio::test]
async fn trap_17_a_prepared_statement_reads_its_literals_by_the_settings_of_now() {
    let cluster = one_connection().await;
    let hour = "select extract(epoch from '2026-01-01 00:00'::timestamptz)::int8 / 3600";
    let db = &cluster.db;
    let at = db.query_one_scalar::<i64>(hour, &[]).await.unwrap();
    let transaction = db.begin().await.unwrap();
    let now = async || at - transaction.query_one_scalar::<i64>(hour, &[]).await.unwrap();
    transaction.execute("set local timezone = 'Etc/GMT-9'", &[]).await.unwrap();
    assert_eq!(now().await, 9);
    let part = transaction.savepoint().await.unwrap();
    part.execute("set local timezone = 'Etc/GMT-1'", &[]).await.unwrap();
    assert_eq!(now().await, 1);
    part.rollback().await.unwrap();
    assert_eq!(now().await, 9);
    {
        let dropped = transaction.savepoint().await.unwrap();
        dropped.execute("set local timezone = 'Etc/GMT-1'", &[]).await.unwrap();
        assert_eq!(now().await, 1);
    }
    assert_eq!(now().await, 9);
    transaction.commit().await.unwrap();
    assert_eq!(db.query_one_scalar::<i64>(hour, &[]).await.unwrap(), at);
    let lease = db.get().await.unwrap();
    let kept =
        GenericClient::query_one_scalar::<i64>(&lease, "select count(*) from pg_prepared_statements", &[])
            .await;
    assert!(kept.unwrap() < 6, "those of the transaction are gone");
}

#[tokio::test]
async fn trap_18_only_what_may_have_been_committed_counts_as_written() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let insert = "insert into item values (1, 'pond')";
    // Nothing was kept.
    let session = cluster.db.session();
    let transaction = session.begin().await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    part.execute(insert, &[]).await.unwrap();
    part.commit().await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(reads_on_replica(&session).await);
    // Rolling back to a savepoint does not undo that the transaction wrote before it.
    let transaction = session.begin().await.unwrap();
    transaction.execute(insert, &[]).await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    part.execute("update item set name = 'lake'", &[]).await.unwrap();
    part.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(session.query_scalar::<String>("select name from item", &[]).await.unwrap(), ["pond"]);
}

#[tokio::test]
async fn trap_18_what_survives_a_rollback_is_read_where_it_is() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    db.batch_execute("create sequence numbers").await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let transaction = db.begin().await.unwrap();
    transaction.execute("select setval('numbers', 1000)", &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(db.any().query_one_scalar::<i64>("select last_value from numbers", &[]).await.unwrap(), 1000);
    assert_eq!(db.any().query_one_scalar::<i64>("select nextval('numbers')", &[]).await.unwrap(), 1001);
}

#[tokio::test]
async fn trap_19_what_is_held_by_a_session_ends_with_its_lease() {
    let lab = Lab::builder().replicas(0).setting("max_prepared_transactions", "4").up().await.unwrap();
    lab.primary().ask("postgres", "create table item (id int primary key, name text)").await.unwrap();
    let db = builder(&lab, &Events::default()).max_size(1).connect().await.unwrap();
    let held = "select count(*)::text from pg_locks where locktype = 'advisory'";
    for sql in [
        "select pg_advisory_lock(7)",
        "listen news",
        "declare c cursor with hold for select 1",
        "prepare p as select 1",
        "begin; select pg_advisory_xact_lock(8)",
    ] {
        let error = db.execute(sql.split("; ").last().unwrap_or(sql), &[]).await;
        if let Err(error) = error {
            assert_eq!(error.kind(), ErrorKind::SessionStatement, "{sql}: {error}");
        }
        let lease = db.get().await.unwrap();
        GenericClient::batch_execute(&lease, sql).await.unwrap();
        drop(lease);
        assert!(is_clean(&db).await, "{sql}");
        assert_eq!(lab.primary().ask("postgres", held).await.unwrap().unwrap(), "0", "{sql}");
    }
    // A prepared transaction belongs to nobody's session: anybody ends it.
    let lease = db.get().await.unwrap();
    let text = "begin; insert into item values (1, 'pond'); prepare transaction 'two'";
    GenericClient::batch_execute(&lease, text).await.unwrap();
    drop(lease);
    assert!(is_clean(&db).await);
    assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 0);
    let lease = db.get().await.unwrap();
    GenericClient::batch_execute(&lease, "commit prepared 'two'").await.unwrap();
    drop(lease);
    assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn trap_20_a_commit_that_is_given_up_may_have_run() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let transaction = session.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    {
        let mut commit = pin!(transaction.commit());
        assert!(poll!(&mut commit).is_pending(), "it is sent, and not answered yet");
    }
    assert!(session.token().to_string().ends_with(".*"), "{}", session.token());
    assert!(!reads_on_replica(&session).await);
    let open = "select count(*)::text from pg_stat_activity where state like 'idle in transaction%'";
    until("the server is through with it", async || cluster.ask("db-0", open).await == "0").await;
    let next: Db = cluster.db.latest();
    next.query("select 1", &[]).await.unwrap();
}
