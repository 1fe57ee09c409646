//! How fresh a read is asked to be, how long it waits for that, and what the answer says of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::Db;
use millpond::{ErrorKind, Outcome, Reason, Report, Role, Served};
use millpond_tests::{Cluster, reads_on_replica, until};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Where a read of this handle runs.
async fn served(db: &Db) -> Served {
    let report = Report::new();
    db.with_report(&report).query("select count(*) from item", &[]).await.unwrap();
    report.last().unwrap()
}

#[tokio::test]
async fn an_answer_says_where_it_comes_from_and_why() {
    let cluster = Cluster::up(1).await;
    let (report, db) = (Report::new(), &cluster.db);
    assert_eq!(report.last(), None);
    let told = db.with_report(&report);
    told.query("select 1 from item", &[]).await.unwrap();
    let read = report.take().unwrap();
    assert_eq!(&*read.node, &*db.status().nodes[1].name);
    assert_eq!((read.role, read.reason, read.tries), (Role::Replica, Reason::FreshReplica, 1));
    assert!(read.lag.is_within(Duration::from_secs(1)) && read.waited < Duration::from_secs(1), "{read}");
    assert!(read.to_string().contains("as replica: a replica is fresh enough; lag"), "{read}");
    assert_eq!(report.last(), None, "it was taken");

    told.execute("insert into item values (1)", &[]).await.unwrap();
    let write = report.last().unwrap();
    assert_eq!(&*write.node, &*db.status().nodes[0].name);
    assert!(matches!((write.role, write.reason), (Role::Primary, Reason::NotARead(_))), "{write}");
    assert_eq!(write.lag.time(), Some(Duration::ZERO));

    let clone = report.clone();
    told.latest().query("select 1 from item", &[]).await.unwrap();
    assert_eq!(clone.last().unwrap().reason, Reason::AskedForPrimary);
    let transaction = told.begin_read_only().await.unwrap();
    assert_eq!(report.last().unwrap().role, Role::Replica);
    transaction.commit().await.unwrap();
    db.query("select 1 from item", &[]).await.unwrap();
    told.query("select from", &[]).await.unwrap_err();
    assert_eq!(report.last().unwrap().tries, 1, "what was refused was sent, too");
}

#[tokio::test]
async fn a_read_may_ask_how_many_bytes_it_is_behind() {
    let cluster = Cluster::up(1).await;
    let old = cluster.db.within(LONG);
    let near = old.within_bytes(10_000);
    assert_eq!(served(&near).await.role, Role::Replica);
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.ask("db-0", "insert into item select n, repeat('x', 100) from generate_series(1, 1000) n").await;
    until("it is known", async || served(&near).await.role == Role::Primary).await;
    assert_eq!(served(&near).await.reason, Reason::TooOld);
    assert_eq!(served(&old).await.role, Role::Replica, "it is not old");
    assert_eq!(served(&old.within_bytes(10_000_000)).await.role, Role::Replica);
    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("it has caught up", async || served(&near).await.role == Role::Replica).await;
}

#[tokio::test]
async fn a_read_waits_for_a_replica_as_long_as_it_may() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    replica.pause_replay().await.unwrap();
    let session = cluster.db.session().within(LONG);
    session.execute("insert into item values (1)", &[]).await.unwrap();
    let behind = served(&session).await;
    assert_eq!(behind.role, Role::Primary, "{behind}");

    let waited = served(&session.wait_for_replica(SHORT)).await;
    assert_eq!((waited.role, waited.reason), (Role::Primary, Reason::OwnWrite));
    assert!(waited.waited >= SHORT, "{waited}");

    let refused = session.replicas_only().wait_for_replica(SHORT).query("select 1 from item", &[]).await;
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoReplica, Outcome::NotSent));
    assert!(error.to_string().contains("within 50ms: no replica is known to have"), "{error}");
    let error = session.replicas_only().query("select 1 from item", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoReplica, "{error}");
    session.replicas_only().latest().query("select 1 from item", &[]).await.unwrap();
    session.replicas_only().execute("update item set name = 'a'", &[]).await.unwrap();

    let patient = session.wait_for_replica(LONG);
    // The read is asked first, and finds no replica.
    let (waited, resumed) = tokio::join!(served(&patient), replica.resume_replay());
    resumed.unwrap();
    assert_eq!(waited.role, Role::Replica, "{waited}");
}

#[tokio::test]
async fn a_wait_is_part_of_the_time_for_a_connection() {
    let cluster = Cluster::up_with(1, |builder| builder.acquire_timeout(Duration::from_millis(200))).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    session.execute("insert into item values (1)", &[]).await.unwrap();
    let served = served(&session.wait_for_replica(Duration::MAX)).await;
    assert_eq!(served.role, Role::Primary);
    assert!(served.waited < Duration::from_secs(10), "{served}");
}

#[tokio::test]
async fn trap_29_reads_that_fall_back_to_the_primary_have_a_limit() {
    let cluster = Cluster::up_with(1, |builder| builder.max_fallback_reads(Some(1))).await;
    let db = &cluster.db;
    cluster.lab.node("db-1").unwrap().kill().await.unwrap();
    until("the primary reads", async || !reads_on_replica(db).await).await;
    let endless = tokio::spawn({
        let db = db.clone();
        async move { db.query("select count(*) from generate_series(1, 100000000000)", &[]).await }
    });
    until("one runs there", async || db.status().nodes[0].in_flight == 1).await;
    let error = db.query("select 1 from item", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("max_fallback_reads"), "{error}");
    db.latest().query("select 1 from item", &[]).await.unwrap();
    db.execute("insert into item values (1)", &[]).await.unwrap();
    endless.abort();
    endless.await.unwrap_err();
    for _ in 0..10 {
        db.query("select 1 from item", &[]).await.unwrap();
    }
}
