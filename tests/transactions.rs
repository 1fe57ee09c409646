//! Transactions: how they begin, are apart from each other, run again, and are taken back in part.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::postgres::tokio_postgres::IsolationLevel;
use millpond::postgres::{Db, GenericClient, Transaction, TransactionId, TransactionStatus};
use millpond::{Error, ErrorKind, Outcome};
use millpond_lab::StopMode;
use millpond_tests::{Cluster, one_connection, until};
use tokio::sync::Barrier;

async fn show(transaction: &Transaction, setting: &str) -> String {
    transaction.query_one_scalar(&format!("show {setting}"), &[]).await.unwrap()
}

async fn names(db: &Db) -> Vec<String> {
    db.query_scalar("select name from item order by id", &[]).await.unwrap()
}

#[tokio::test]
async fn a_transaction_is_what_was_asked_for_and_runs_where_it_can() {
    let cluster = Cluster::up(1).await;
    let db = cluster.db.any();
    let replica = async |transaction: &Transaction| {
        let sql = "select pg_is_in_recovery()";
        transaction.query_one_scalar::<bool>(sql, &[]).await.unwrap()
    };
    let plain = db.begin().await.unwrap();
    assert_eq!(show(&plain, "transaction_isolation").await, "read committed");
    assert!(!replica(&plain).await);
    let reading = db.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let reading = reading.start().await.unwrap();
    assert_eq!(show(&reading, "transaction_isolation").await, "repeatable read");
    assert_eq!(show(&reading, "transaction_read_only").await, "on");
    assert!(replica(&reading).await);
    // A replica knows nothing of the kind.
    let apart = db.build_transaction().isolation_level(IsolationLevel::Serializable).read_only(true);
    let apart = apart.deferrable(true).start().await.unwrap();
    assert_eq!(show(&apart, "transaction_isolation").await, "serializable");
    assert_eq!(show(&apart, "transaction_deferrable").await, "on");
    assert!(!replica(&apart).await);
    assert!(apart.execute("insert into item values (1, 'pond')", &[]).await.is_err());
}

/// Two that read what the other one writes, at the same time. Gives how often the work was done, and what came of it.
async fn in_each_others_way(db: &Db, retries: u32) -> (usize, Vec<Result<(), Error>>) {
    let (barrier, done) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let tasks = [1, 2].map(|id: i32| {
        let (db, barrier, done) = (db.clone(), Arc::clone(&barrier), Arc::clone(&done));
        tokio::spawn(async move {
            let transaction = db.build_transaction().isolation_level(IsolationLevel::Serializable);
            let work = |transaction: Arc<Transaction>| {
                let (barrier, done) = (Arc::clone(&barrier), Arc::clone(&done));
                async move {
                    let count: i64 = transaction.query_one_scalar("select count(*) from item", &[]).await?;
                    // Only the first time: later there may be nobody to wait for.
                    if done.fetch_add(1, Ordering::SeqCst) < 2 {
                        barrier.wait().await;
                    }
                    let name = count.to_string();
                    transaction.execute("insert into item values ($1, $2)", &[&id, &name]).await?;
                    Ok::<_, Error>(())
                }
            };
            transaction.retries(retries).run(work).await
        })
    });
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    (done.load(Ordering::SeqCst), results)
}

#[tokio::test]
async fn one_that_was_given_up_for_another_runs_again_only_where_that_is_asked_for() {
    let cluster = Cluster::up(0).await;
    let (done, results) = in_each_others_way(&cluster.db, 0).await;
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!((done, failed.len()), (2, 1), "{results:?}");
    assert_eq!((failed[0].code(), failed[0].outcome()), (Some("40001"), Outcome::Rejected));
    assert_eq!(names(&cluster.db).await, ["0"]);

    cluster.db.execute("delete from item", &[]).await.unwrap();
    let (done, results) = in_each_others_way(&cluster.db, 3).await;
    assert!(done > 2 && results.iter().all(Result::is_ok), "{done} {results:?}");
    let mut names = names(&cluster.db).await;
    names.sort();
    assert_eq!(names, ["0", "1"], "one of them saw the other");
}

#[tokio::test]
async fn what_failed_for_another_reason_is_rolled_back_and_not_run_again() {
    let cluster = one_connection().await;
    let done = AtomicUsize::new(0);
    let done = &done;
    let failed = cluster.db.build_transaction().retries(3).run(|transaction| async move {
        done.fetch_add(1, Ordering::SeqCst);
        transaction.execute("insert into item values (1, 'pond')", &[]).await?;
        transaction.execute("insert into item values (1, 'pond')", &[]).await
    });
    assert_eq!(failed.await.unwrap_err().code(), Some("23505"));
    assert_eq!((done.load(Ordering::SeqCst), names(&cluster.db).await.len()), (1, 0));
    let kept = cluster
        .db
        .build_transaction()
        .run(async |transaction| transaction.execute("insert into item values (1, 'pond')", &[]).await);
    assert_eq!(kept.await.unwrap(), 1);
    assert_eq!(names(&cluster.db).await, ["pond"]);
    let leaked = cluster.db.build_transaction().run(|transaction| async move {
        transaction.execute("insert into item values (2, 'lake')", &[]).await?;
        Ok::<_, Error>(transaction)
    });
    let error = leaked.await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(names(&cluster.db).await, ["pond"]);
}

#[tokio::test]
async fn a_savepoint_is_kept_taken_back_or_dropped() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    let add = async |transaction: &Transaction, id: i32, name: &str| {
        transaction.execute("insert into item values ($1, $2)", &[&id, &name]).await
    };
    add(&transaction, 1, "outside").await.unwrap();
    let kept = transaction.savepoint().await.unwrap();
    add(&kept, 2, "kept").await.unwrap();
    {
        let inner = kept.savepoint().await.unwrap();
        add(&inner, 3, "dropped").await.unwrap();
    }
    kept.commit().await.unwrap();
    let back = transaction.savepoint().await.unwrap();
    add(&back, 4, "taken back").await.unwrap();
    // An error ends with the part it is in.
    assert!(add(&back, 4, "again").await.is_err());
    back.rollback().await.unwrap();
    let dropped = transaction.savepoint().await.unwrap();
    assert!(add(&dropped, 1, "again").await.is_err());
    drop(dropped);
    add(&transaction, 5, "behind").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(names(&cluster.db).await, ["outside", "kept", "behind"]);
}

/// What the primary says of a transaction, asked past the relay.
async fn is_committed(cluster: &Cluster, id: &TransactionId) -> bool {
    let status = format!("select pg_xact_status('{id}'::xid8)");
    cluster.ask("db-0", &status).await == "committed"
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_resolved_where_that_can_be() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    let begin = async || db.build_transaction().resolvable(true).start().await.unwrap();
    let network = cluster.lab.primary().network();
    let lost = begin().await;
    lost.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let id = lost.id().unwrap().clone();
    assert_eq!(db.resolve(&id).await.unwrap(), TransactionStatus::InProgress);
    // The answer is still on its way when the connection breaks.
    network.delay(std::time::Duration::from_millis(500));
    let committing = tokio::spawn(lost.commit());
    until("it is committed", async || is_committed(&cluster, &id).await).await;
    network.reset();
    let error = committing.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::MayHaveRun), "{error}");
    network.restore();
    assert_eq!(db.resolve(&id).await.unwrap(), TransactionStatus::Committed);

    let left = begin().await;
    left.execute("insert into item values (2, 'lake')", &[]).await.unwrap();
    let left_id = left.id().unwrap().clone();
    left.rollback().await.unwrap();
    assert_eq!(db.resolve(&left_id).await.unwrap(), TransactionStatus::RolledBack);
    assert!(db.begin().await.unwrap().id().is_none());

    // On another timeline its number is another transaction's.
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.primary().stop(StopMode::Immediate).await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    assert_eq!(db.resolve(&id).await.unwrap(), TransactionStatus::Unknown);
    assert_eq!(names(db).await, ["pond"]);
}

#[tokio::test]
async fn a_number_that_a_crash_gave_to_another_transaction_resolves_nothing() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    let lost = db.build_transaction().resolvable(true).start().await.unwrap();
    lost.execute("insert into item values (1, 'mine')", &[]).await.unwrap();
    let id = lost.id().unwrap().clone();
    cluster.lab.primary().kill().await.unwrap();
    // Or it is known already that the connection is closed.
    assert_ne!(lost.commit().await.unwrap_err().outcome(), Outcome::NotSent);
    cluster.lab.primary().start().await.unwrap();
    until("it is back", async || db.query("select 1", &[]).await.is_ok()).await;
    assert_eq!(db.resolve(&id).await.unwrap(), TransactionStatus::Unknown);
    for other in 10..14 {
        db.execute("insert into item values ($1, 'other')", &[&other]).await.unwrap();
    }
    assert_eq!(db.resolve(&id).await.unwrap(), TransactionStatus::Unknown);
    assert_eq!(names(db).await, ["other"; 4]);
}

#[tokio::test]
async fn what_a_statement_says_inside_of_it_does_not_run_it_again() {
    let cluster = one_connection().await;
    let procedure = "create table log (a int); create procedure p() language plpgsql as $$ begin
        insert into log values (1); commit; execute 'deallocate nothing'; end $$";
    cluster.db.batch_execute(procedure).await.unwrap();
    let error = cluster.db.execute("call p()", &[]).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("26000"), Outcome::MayHaveRun), "{error}");
    assert_eq!(cluster.db.query("select from log", &[]).await.unwrap().len(), 1);
    let answers = cluster.db.batch(&[("call p()", &[])]).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().outcome(), Outcome::MayHaveRun);
    let lease = cluster.db.get().await.unwrap();
    let error = GenericClient::execute(&lease, "call p()", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MayHaveRun);
    let halves = "begin; insert into log values (2); commit; select 1 / 0";
    let error = GenericClient::batch_execute(&lease, halves).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::MayHaveRun);
}

#[tokio::test]
async fn one_that_began_to_read_and_wrote_all_the_same_counts() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    let transaction = session.latest().begin_read_only().await.unwrap();
    transaction.batch_execute("set transaction read write").await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(session.query("select from item", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_definition_in_a_transaction_has_its_statements_prepared_anew() {
    let cluster = one_connection().await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.query("select * from item", &[]).await.unwrap();
    transaction.execute("alter table item add column size int", &[]).await.unwrap();
    transaction.query("select * from item", &[]).await.unwrap();
    transaction.commit().await.unwrap();
}
