//! A session whose reads never show less than one before did.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use futures_util::future::join4;
use millpond::postgres::{Db, Session};
use millpond::{Reason, Report, Role, Served};
use millpond_tests::{Cluster, until};

/// Monitors that say nothing new for as long as a test lasts.
const NEVER: Duration = Duration::from_secs(60);

/// Two replicas, of which one stands still.
async fn up() -> Cluster {
    let cluster = Cluster::up_with(2, |builder| builder.probe_interval(NEVER).max_lag(NEVER)).await;
    cluster.lab.node("db-2").unwrap().pause_replay().await.unwrap();
    cluster
}

/// Writes as somebody else, and waits until the replica that goes on shows it.
async fn write(cluster: &Cluster, id: i32) {
    cluster.ask("db-0", &format!("insert into item values ({id}, 'pond')")).await;
    cluster.lab.node("db-1").unwrap().wait_for_replay().await.unwrap();
}

/// How many items a read shows, and where it ran.
async fn read(db: &Db) -> (i64, Served) {
    let report = Report::new();
    let row = db.with_report(&report).query_one("select count(*) from item", &[]).await.unwrap();
    (row.get(0), report.last().unwrap())
}

async fn count(db: &Db) -> i64 {
    read(db).await.0
}

fn name(cluster: &Cluster, node: usize) -> String {
    cluster.db.status().nodes[node].name.to_string()
}

/// A session whose reads are on the replica that goes on.
async fn on_first_replica(cluster: &Cluster) -> Session {
    loop {
        let session = cluster.db.session().monotonic();
        if *read(&session).await.1.node == *name(cluster, 1) {
            return session;
        }
    }
}

#[tokio::test]
async fn reads_never_go_back_where_those_of_a_plain_session_do() {
    let cluster = up().await;
    let (mut most, mut goes_back) = (0, false);
    let (plain, sessions) = (cluster.db.session(), [(); 8].map(|()| cluster.db.session().monotonic()));
    let mut shown = [0; 8];
    for id in 1..=40 {
        write(&cluster, id).await;
        // Several at a time: one alone stays where it was faster.
        let at_once = join4(count(&plain), count(&plain), count(&plain), count(&plain)).await;
        for now in <[i64; 4]>::from(at_once) {
            goes_back |= now < most;
            most = most.max(now);
        }
        for (session, shown) in sessions.iter().zip(&mut shown) {
            let now = count(session).await;
            assert!(now >= *shown, "{now} behind {shown}");
            *shown = now;
        }
    }
    assert!(goes_back, "the two replicas show different things");
}

#[tokio::test]
async fn from_a_replica_that_is_gone_reads_go_to_the_primary_and_on_to_one_that_has_come_so_far() {
    let cluster = up().await;
    write(&cluster, 1).await;
    let session = on_first_replica(&cluster).await;
    assert_eq!(count(&session).await, 1);
    cluster.db.nodes().drain(&name(&cluster, 1)).unwrap();
    let (shown, served) = read(&session).await;
    assert_eq!((shown, served.role, served.reason), (1, Role::Primary, Reason::LastRead));
    assert_eq!(read(&session).await.1.role, Role::Primary, "the other has not come so far");
    assert_eq!(count(&cluster.db.session()).await, 0, "it does serve others");
    let second = cluster.lab.node("db-2").unwrap();
    second.resume_replay().await.unwrap();
    second.wait_for_replay().await.unwrap();
    // Mostly no monitor knows it yet: the position behind the last read does.
    let (shown, served) = read(&session).await;
    assert_eq!((shown, &*served.node), (1, &*name(&cluster, 2)), "{served}");
}

#[tokio::test]
async fn a_replica_that_may_have_crashed_is_not_believed() {
    let cluster = up().await;
    write(&cluster, 1).await;
    let session = on_first_replica(&cluster).await;
    assert_eq!(count(&session).await, 1);
    let replica = cluster.lab.node("db-1").unwrap();
    replica.kill().await.unwrap();
    replica.start().await.unwrap();
    let (shown, served) = read(&session).await;
    assert_eq!((shown, served.role), (1, Role::Primary), "{served}");
}

#[tokio::test]
async fn what_a_transaction_read_is_not_taken_back() {
    let cluster = up().await;
    write(&cluster, 1).await;
    let session = cluster.db.session().monotonic();
    let transaction = session.begin().await.unwrap();
    let row = transaction.query_one("select count(*) from item", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    transaction.rollback().await.unwrap();
    for _ in 0..5 {
        assert_eq!(count(&session).await, 1);
    }
}

#[tokio::test]
async fn what_a_lease_read_is_not_taken_back() {
    let cluster = Cluster::up_with(2, |builder| builder.max_lag(NEVER)).await;
    cluster.lab.node("db-2").unwrap().pause_replay().await.unwrap();
    let session = on_first_replica(&cluster).await;
    let lease = session.get_read().await.unwrap();
    let (begun, some_probes) = (Instant::now(), Duration::from_millis(200));
    let fresh = cluster.db.within(some_probes);
    until("both show what was there when the lease was taken", async || {
        begun.elapsed() > some_probes && fresh.explain("select").nodes().count() == 2
    })
    .await;
    write(&cluster, 1).await;
    assert_eq!((*lease).query("select from item", &[]).await.unwrap().len(), 1);
    drop(lease);
    cluster.db.nodes().drain(&name(&cluster, 1)).unwrap();
    let (shown, served) = read(&session).await;
    assert_eq!((shown, served.role), (1, Role::Primary), "{served}");
}
