//! COPY and batches.

use std::pin::pin;

use futures_util::StreamExt;
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, is_clean, one_connection, reads_on_replica, until};

#[tokio::test]
async fn rows_are_copied_in_all_or_none() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let mut copy = db.copy_in("copy item from stdin (format csv)").await.unwrap();
    for n in 0..10_000 {
        copy.send(format!("{n},name {n}\n")).await.unwrap();
    }
    assert_eq!(copy.finish().await.unwrap(), 10_000);
    let count = "select count(*) from item";
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 10_000);
    // One that does not fit.
    let mut copy = db.copy_in("copy item from stdin").await.unwrap();
    copy.send("10000\tgood\nbad\tworse\n").await.unwrap();
    let error = copy.finish().await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("22P02"), Outcome::Rejected), "{error}");
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 10_000);
    // One that is left.
    let mut copy = db.copy_in("copy item from stdin").await.unwrap();
    copy.send("10000\tgood\n").await.unwrap();
    drop(copy);
    assert!(is_clean(db).await);
    assert_eq!(db.query_one_scalar::<i64>(count, &[]).await.unwrap(), 10_000);
}

#[tokio::test]
async fn a_copy_counts_as_a_write_when_it_is_finished() {
    let cluster = Cluster::up(1).await;
    let session = cluster.db.session();
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let mut copy = session.copy_in("copy item from stdin").await.unwrap();
    copy.send("1\tpond\n").await.unwrap();
    drop(copy);
    let mut copy = session.copy_in("copy item from stdin").await.unwrap();
    copy.send("bad\tpond\n").await.unwrap();
    copy.finish().await.unwrap_err();
    assert!(reads_on_replica(&session).await, "nothing was written");
    let mut copy = session.copy_in("copy item from stdin").await.unwrap();
    copy.send("1\tpond\n").await.unwrap();
    copy.finish().await.unwrap();
    assert_eq!(session.query("select from item", &[]).await.unwrap().len(), 1, "the replica has it not yet");
}

#[tokio::test]
async fn rows_are_copied_out_of_a_replica() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    db.execute("insert into item select n, 'pond' from generate_series(1, 1000) n", &[]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    until("the replica is known to have them", async || reads_on_replica(db).await).await;
    let before = db.status().nodes[1].reads;
    let rows = db.copy_out("copy item (id) to stdout").await.unwrap();
    let lines: Vec<_> = rows.map(Result::unwrap).collect().await;
    assert_eq!((lines.len(), &lines[999][..]), (1000, &b"1000\n"[..]));
    let mut some =
        pin!(db.copy_out("copy (select n from generate_series(1, 100000000) n) to stdout").await.unwrap());
    some.next().await.unwrap().unwrap();
    assert_eq!(db.status().nodes[1].reads, before + 2);
    // A write inside runs on the primary, and shows.
    let written =
        db.copy_out("copy (insert into item values (0, 'x') returning id) to stdout").await.unwrap();
    assert_eq!(written.count().await, 1);
    assert_eq!(db.query("select from item where id = 0", &[]).await.unwrap().len(), 1);
    // No row at all, bare, in a transaction for its settings, and in one for its write.
    let scoped = db.with_settings([("app.tenant", "ann")]).unwrap();
    let nothing = [
        "copy (select from item where false) to stdout",
        "copy (delete from item where false returning 1) to stdout",
    ];
    for (db, sql) in [db, &scoped].into_iter().flat_map(|db| nothing.map(|sql| (db, sql))) {
        let rows: Vec<_> = db.copy_out(sql).await.unwrap().collect().await;
        assert!(rows.is_empty(), "{sql}: {rows:?}");
    }
}

#[tokio::test]
async fn a_transaction_copies_and_goes_on_or_ends_with_it() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    let mut copy = transaction.copy_in("copy item from stdin").await.unwrap();
    copy.send("1\tpond\n").await.unwrap();
    copy.finish().await.unwrap();
    let rows = transaction.copy_out("copy item to stdout").await.unwrap();
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>().await, ["1\tpond\n"]);
    transaction.commit().await.unwrap();

    let transaction = cluster.db.begin().await.unwrap();
    let mut copy = transaction.copy_in("copy item from stdin").await.unwrap();
    copy.send("2\tlake\n").await.unwrap();
    drop(copy);
    assert_eq!(transaction.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    assert!(is_clean(&cluster.db).await);
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_speaks_no_copy_protocol_is_refused() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    for sql in ["select 1", "copy item from stdin; select 1", "copy item from '/tmp/x'", ""] {
        let error = db.copy_in(sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
        let error = db.copy_out(sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
    }
    // The other way round the driver finds out.
    assert!(db.copy_out("copy item from stdin").await.is_err());
    assert!(db.copy_in("copy item to stdout").await.is_err());
    let error = db.execute("copy item from stdin", &[]).await.unwrap_err();
    assert!(error.to_string().contains("copy_in()"), "{error}");
    assert!(is_clean(db).await);
}

#[tokio::test]
async fn a_batch_runs_in_order_and_says_what_came_of_each() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let insert = "insert into item values ($1, $2) returning id";
    let answers = db
        .batch(&[
            (insert, &[&1, &"one"]),
            ("select name from item where id = 1 -- a comment", &[]),
            (insert, &[&1, &"again"]),
            (insert, &[&2, &"two"]),
            ("select no_such_column from item", &[]),
        ])
        .await
        .unwrap();
    let codes: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().err().and_then(|error| error.code())).collect();
    assert_eq!(codes, [None, None, Some("23505"), None, Some("42703")]);
    assert_eq!(answers[1].as_ref().unwrap()[0].get::<_, &str>(0), "one");
    assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 2);
    assert!(db.batch(&[]).await.unwrap().is_empty());
    let refused = db.batch(&[(insert, &[&3, &"three"]), ("set work_mem = '1MB'", &[])]).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotSent);
    // Prepared before a column changed.
    db.batch(&[("select * from item", &[])]).await.unwrap();
    db.batch_execute("alter table item add column size int").await.unwrap();
    let answers = db.batch(&[("select * from item", &[]), ("select 1", &[])]).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap()[0].len(), 3);
    let transaction = db.begin().await.unwrap();
    let answers = transaction.batch(&[(insert, &[&5, &"five"]), (insert, &[&5, &"six"])]).await.unwrap();
    assert!(answers[0].is_ok() && answers[1].is_err());
    transaction.rollback().await.unwrap();
    assert!(is_clean(db).await);
}

#[tokio::test]
async fn a_batch_of_reads_runs_on_a_replica_and_one_with_a_write_does_not() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    let place = "select pg_is_in_recovery()";
    let on_replica = async |statements: &[(&str, millpond::postgres::Params<'_>)]| {
        let answers = db.batch(statements).await.unwrap();
        answers[0].as_ref().unwrap()[0].get::<_, bool>(0)
    };
    assert!(on_replica(&[(place, &[]), ("select 1", &[])]).await);
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let write = "insert into item values (1, 'pond')";
    assert!(!on_replica(&[(place, &[]), (write, &[])]).await);
    let of_item = "select pg_is_in_recovery() from item limit 1";
    assert!(!on_replica(&[(of_item, &[])]).await, "the replica has it not yet");
}

#[tokio::test]
async fn a_batch_is_one_round_trip() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let statements: Vec<(&str, millpond::postgres::Params<'_>)> = vec![("select 1", &[]); 50];
    db.batch(&statements).await.unwrap();
    let way = std::time::Duration::from_millis(50);
    cluster.lab.primary().network().delay(way);
    let started = std::time::Instant::now();
    assert_eq!(db.batch(&statements).await.unwrap().len(), 50);
    let took = started.elapsed();
    assert!(took >= 2 * way && took < 6 * way, "{took:?}");
}

const LATE: &str = "create table par (id int primary key);
    create table ch (id int references par deferrable initially deferred)";

#[tokio::test]
async fn a_copy_that_its_commit_takes_back_is_an_error() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    db.batch_execute(LATE).await.unwrap();
    let mut copy = db.copy_in("copy ch from stdin").await.unwrap();
    copy.send("1\n").await.unwrap();
    let error = copy.finish().await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("23503"), Outcome::Rejected), "{error}");
    let mut rows = pin!(db.copy_out("copy (insert into ch values (1) returning *) to stdout").await.unwrap());
    assert_eq!(rows.next().await.unwrap().unwrap(), "1\n");
    assert_eq!(rows.next().await.unwrap().unwrap_err().code(), Some("23503"));
    assert!(rows.next().await.is_none());
    assert_eq!(db.query("select from ch", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_copy_out_of_a_write_counts_when_it_is_over() {
    let settings = |builder: millpond::postgres::Builder| builder.max_lag(std::time::Duration::from_secs(30));
    let cluster = Cluster::up_with(1, settings).await;
    let session = cluster.db.session();
    let write = "copy (insert into item select n, repeat('x', 2000) from generate_series(1, 20000) n returning *) to stdout";
    let mut rows = pin!(session.copy_out(write).await.unwrap());
    rows.next().await.unwrap().unwrap();
    until("the replica is fresh enough", async || reads_on_replica(&session).await).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    while let Some(row) = rows.next().await {
        row.unwrap();
    }
    assert_eq!(session.query_one_scalar::<i64>("select count(*) from item", &[]).await.unwrap(), 20_000);
}

#[tokio::test]
async fn a_copy_that_was_given_up_copies_nothing_more() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    let locked = db.begin().await.unwrap();
    locked.batch_execute("lock table item").await.unwrap();
    let mut copy = db.timeout(std::time::Duration::from_millis(300)).copy_in("copy item from stdin").await;
    let error = match &mut copy {
        // The server takes bytes before it takes the lock.
        Ok(copy) => loop {
            if let Err(error) = copy.send("1\tpond\n".repeat(100_000)).await {
                break error;
            }
        },
        Err(error) => error.clone(),
    };
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    locked.rollback().await.unwrap();
    if let Ok(copy) = copy {
        assert_eq!(copy.finish().await.unwrap_err().outcome(), Outcome::Rejected);
    }
    assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_batch_keeps_its_order_when_a_table_was_changed() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    db.execute("insert into item values (1, 'zero')", &[]).await.unwrap();
    let first = "update item set name = 'first' where id = 1 returning *";
    db.query(first, &[]).await.unwrap();
    cluster.ask("db-0", "alter table item add column size int").await;
    let second = "update item set name = 'second' where id = 1";
    let answers = db.batch(&[(first, &[]), (second, &[])]).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().outcome(), Outcome::Rejected);
    let name: String = db.query_one_scalar("select name from item", &[]).await.unwrap();
    assert_eq!(name, "second");
    let answers = db.batch(&[(first, &[]), (second, &[])]).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "it is prepared anew");
}
