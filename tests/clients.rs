//! All that takes statements, by the same words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use millpond::postgres::GenericClient;
use millpond::postgres::tokio_postgres::SimpleQueryMessage;
use millpond::postgres::tokio_postgres::types::{ToSql, Type};
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, is_clean, one_connection, reads_on_replica, until};

/// Runs on whatever takes statements.
async fn add_and_count<C: GenericClient>(client: C, id: i32) -> i64 {
    client.execute("insert into item values ($1, 'pond')", &[&id]).await.unwrap();
    let typed = [(&id as &(dyn ToSql + Sync), Type::INT4)];
    let row = client.query_typed_one("select name from item where id = $1", &typed).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "pond");
    let mut rows = pin!(client.query_raw("select id from item", &[]).await.unwrap());
    let mut count = 0;
    while let Some(row) = rows.next().await {
        row.unwrap();
        count += 1;
    }
    let same: i64 = client.query_one_scalar("select count(*) from item", &[]).await.unwrap();
    let messages = client.simple_query("select 1; select 2").await.unwrap();
    let is_row = |message: &&SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(_));
    assert_eq!((messages.iter().filter(is_row).count(), count), (2, same));
    same
}

#[tokio::test]
async fn one_function_runs_on_all_that_takes_statements() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    assert_eq!(add_and_count(db, 1).await, 1);
    assert_eq!(add_and_count(db.session(), 2).await, 2);
    let mut transaction = db.begin().await.unwrap();
    assert_eq!(add_and_count(&mut transaction, 3).await, 3);
    let part = transaction.savepoint().await.unwrap();
    assert_eq!(add_and_count(&part, 9).await, 4);
    part.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    db.build_transaction()
        .run(async |transaction| {
            assert_eq!(add_and_count(&transaction, 9).await, 4);
            transaction.execute("delete from item where id = 9", &[]).await
        })
        .await
        .unwrap();
    let lease = db.get().await.unwrap();
    assert_eq!(add_and_count(&lease, 4).await, 4);
    drop(lease);
    assert!(is_clean(db).await);
    assert_eq!(db.query_scalar::<i32>("select id from item order by id", &[]).await.unwrap(), [1, 2, 3, 4]);
    let none: Option<i32> = db.query_opt_scalar("select id from item where false", &[]).await.unwrap();
    assert_eq!(none, None);
    let error = db.query_one_scalar::<String>("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conversion, Outcome::MayHaveRun), "{error}");
}

#[tokio::test]
async fn a_typed_statement_is_not_kept() {
    let cluster = one_connection().await;
    let typed = [(&7_i32 as &(dyn ToSql + Sync), Type::INT4)];
    let sql = "select $1 + 1 as next";
    assert_eq!(cluster.db.query_typed_one(sql, &typed).await.unwrap().get::<_, i32>(0), 8);
    cluster.db.execute_typed("insert into item values ($1, 'typed')", &typed).await.unwrap();
    let kept = "select count(*) from pg_prepared_statements where statement like $1";
    let lease = cluster.db.get().await.unwrap();
    for like in ["%as next%", "%typed%"] {
        assert_eq!(lease.query_one(kept, &[&like]).await.unwrap().get::<_, i64>(0), 0, "{like}");
    }
}

#[tokio::test]
async fn what_the_verbs_of_a_lease_leave_behind_is_taken_away() {
    let cluster = one_connection().await;
    for text in [
        "begin; set local work_mem = '1MB'",
        "set work_mem = '1MB'; listen news; create temporary table t (a int)",
        "select pg_advisory_lock(7); declare c cursor with hold for select 1",
    ] {
        let lease = cluster.db.get().await.unwrap();
        GenericClient::batch_execute(&lease, text).await.unwrap();
        drop(lease);
        assert!(is_clean(&cluster.db).await, "{text}");
        let locks = "select count(*)::text from pg_locks where locktype = 'advisory'";
        assert_eq!(cluster.ask("db-0", locks).await, "0", "{text}");
    }
    let lease = cluster.db.get().await.unwrap();
    let error = GenericClient::batch_execute(&lease, "copy item from stdin").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionStatement);
}

#[tokio::test]
async fn only_what_a_lease_may_have_written_moves_reads() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let db = cluster.db.within(Duration::from_secs(3600)).session();
    // Reads by its verbs leave the replica what it was.
    let lease = db.get().await.unwrap();
    GenericClient::query(&lease, "select name from item", &[]).await.unwrap();
    drop(lease);
    assert!(reads_on_replica(&db).await);
    // A write counts when it is over, which is when its rows are.
    let lease = db.get().await.unwrap();
    let insert = "insert into item select n, 'pond' from generate_series(1, 1000) n returning id";
    let mut rows = pin!(GenericClient::query_raw(&lease, insert, &[]).await.unwrap());
    while let Some(row) = rows.next().await {
        row.unwrap();
    }
    assert!(!reads_on_replica(&db).await, "it would not show the rows");
}

#[tokio::test]
async fn a_transaction_reads_a_stream_and_goes_on_or_ends_with_it() {
    let cluster = one_connection().await;
    let many = "select n from generate_series(1, 100000) n";
    let transaction = cluster.db.begin().await.unwrap();
    let rows = transaction.query_raw(many, &[]).await.unwrap();
    assert_eq!(rows.count().await, 100_000);
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.commit().await.unwrap();

    let transaction = cluster.db.begin().await.unwrap();
    let pid: i32 = transaction.query_one_scalar("select pg_backend_pid()", &[]).await.unwrap();
    let mut rows = Box::pin(transaction.query_raw(many, &[]).await.unwrap());
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected, "it was given up");
    assert!(is_clean(&cluster.db).await);
    let next = cluster.db.begin().await.unwrap();
    let other: i32 = next.query_one_scalar("select pg_backend_pid()", &[]).await.unwrap();
    assert_ne!(pid, other, "nobody reads what was left");
}

#[tokio::test]
async fn a_call_takes_no_longer_than_it_may_and_is_cancelled_then() {
    let cluster = one_connection().await;
    let db = cluster.db.timeout(Duration::from_millis(300));
    let runs =
        "select count(*)::text from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)'";
    let is_quiet = async || cluster.ask("db-0", runs).await == "0";

    let error = db.query("select pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MayHaveRun), "{error}");
    until("it is cancelled", is_quiet).await;

    // Waiting for a connection counts, and then nothing was sent.
    let held = cluster.db.get().await.unwrap();
    let asked = Instant::now();
    let error = db.execute("insert into item values (1, 'pond')", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Acquire, Outcome::NotSent), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(2));
    drop(held);

    let transaction = db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let error = transaction.query("select pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Rejected), "{error}");
    // Nothing of it goes on, whatever its user tries.
    assert_eq!(transaction.query("select 1", &[]).await.unwrap_err().outcome(), Outcome::Rejected);
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    until("it is cancelled", is_quiet).await;
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_transaction_with_a_call_that_was_given_up_does_not_commit() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    {
        let slow = "insert into item select 1, pg_sleep(0.2)::text";
        let mut dropped = pin!(transaction.execute(slow, &[]));
        let _ = tokio::time::timeout(Duration::from_millis(50), &mut dropped).await;
    }
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_causes_of_an_error_are_found_by_their_types() {
    use millpond::postgres::tokio_postgres::error::DbError;
    let cluster = one_connection().await;
    cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let error = cluster.db.execute("insert into item values (1, 'pond')", &[]).await.unwrap_err();
    let driver = error.source_as::<millpond::postgres::tokio_postgres::Error>().unwrap();
    assert_eq!(driver.code().unwrap().code(), "23505");
    assert_eq!(error.source_as::<DbError>().unwrap().constraint(), Some("item_pkey"));
    assert_eq!(error.to_string().matches("duplicate key").count(), 1, "{error}");
}

#[tokio::test]
async fn a_session_stays_one_whatever_else_it_is() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let other = session
        .with_settings([("app.tenant", "ann")])
        .unwrap()
        .timeout(Duration::from_secs(9))
        .within(Duration::from_secs(3600));
    other.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    assert_eq!(session.token(), other.token());
    assert!(!reads_on_replica(&session.any()).await, "its own write");
    assert!(reads_on_replica(&cluster.db.any()).await);
}

#[tokio::test]
async fn what_a_session_has_for_itself_moves_nobodys_reads() {
    let cluster = Cluster::up(1).await;
    let db = cluster.db.any();
    let transaction = db.begin().await.unwrap();
    transaction.execute("create temp table staged (a int) on commit drop", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(reads_on_replica(&db).await, "the catalog is what it was");
}
