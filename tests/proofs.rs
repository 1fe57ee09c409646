//! Own writes read from replicas of which nobody knows yet whether they have them: the question goes with the read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use millpond::ErrorKind;
use millpond::postgres::tokio_postgres::SimpleQueryMessage;
use millpond::postgres::tokio_postgres::types::Type;
use millpond::postgres::{Db, GenericClient, Session};
use millpond_tests::{Cluster, until};

/// Monitors that say nothing new for as long as a test lasts.
const NEVER: Duration = Duration::from_secs(60);

/// A cluster whose replicas are known as of the start, and old answers are fresh enough.
async fn up(replicas: usize) -> Cluster {
    Cluster::up_with(replicas, |builder| builder.probe_interval(NEVER).max_lag(NEVER)).await
}

const PLACE: &str = "select pg_is_in_recovery() from item where id = $1";

async fn place<C: GenericClient>(client: &C, id: i32) -> bool {
    client.query_one_scalar(PLACE, &[&id]).await.unwrap()
}

async fn write(db: &Db, id: i32) {
    db.execute("insert into item values ($1, 'pond')", &[&id]).await.unwrap();
}

/// Writes, and waits until the replica shows it, so that it is ours not to know.
async fn write_and_replay(cluster: &Cluster, id: i32) -> Session {
    let session = cluster.db.session();
    write(&session, id).await;
    cluster.lab.caught_up().await.unwrap();
    session
}

#[tokio::test]
async fn a_read_behind_a_write_is_served_by_a_replica_though_no_monitor_has_asked_it() {
    let cluster = up(1).await;
    for id in 1..=3 {
        let session = write_and_replay(&cluster, id).await;
        assert!(place(&session, id).await, "a session's, {id}");
        assert!(place(&cluster.db, id).await, "a plain handle's, {id}");
    }
    // What was proven is known: no question goes with the next read.
    assert!(cluster.db.explain(PLACE).to_string().ends_with("a replica is fresh enough"));
}

#[tokio::test]
async fn every_way_to_read_asks_the_replica_first() {
    let cluster = up(1).await;
    let mut id = 0;
    let mut next = async || {
        id += 1;
        (write_and_replay(&cluster, id).await, id)
    };
    let (session, id) = next().await;
    let rows = session.query_typed(PLACE, &[(&id, Type::INT4)]).await.unwrap();
    assert!(rows[0].get::<_, bool>(0));
    let (session, id) = next().await;
    let answers = session.simple_query(&PLACE.replace("$1", &id.to_string())).await.unwrap();
    let is_on_replica = |answer: &SimpleQueryMessage| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
    assert!(answers.iter().any(is_on_replica));
    let (session, id) = next().await;
    let rows: Vec<_> = session.query_raw(PLACE, &[&id]).await.unwrap().try_collect().await.unwrap();
    assert!(rows[0].get::<_, bool>(0));
    let (session, id) = next().await;
    let answers = session.batch(&[(PLACE, &[&id]), (PLACE, &[&id])]).await.unwrap();
    assert!(answers.into_iter().all(|answer| answer.unwrap()[0].get::<_, bool>(0)));
    for _ in 0..2 {
        // Not prepared under these settings, and then prepared.
        let (session, id) = next().await;
        assert!(place(&session.with_settings([("app.tenant", "1")]).unwrap(), id).await);
    }
    let (session, id) = next().await;
    let transaction = session.begin_read_only().await.unwrap();
    assert!(place(&transaction, id).await);
    transaction.commit().await.unwrap();
    let (session, id) = next().await;
    let copy = format!("copy ({}) to stdout", PLACE.replace("$1", &id.to_string()));
    let rows: Vec<_> = session.copy_out(&copy).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows, ["t\n"]);
}

#[tokio::test]
async fn a_replica_that_does_not_show_the_write_serves_nothing_and_is_not_asked_at_every_read() {
    let cluster = up(1).await;
    let db = &cluster.db;
    write_and_replay(&cluster, 1).await;
    // Prepared on the replica, so that the statement goes with the question.
    assert!(place(db, 1).await);
    let replica = cluster.lab.node("db-1").unwrap();
    replica.pause_replay().await.unwrap();
    let read = db.status().nodes[1].reads;
    for id in 2..=20 {
        write(db, id).await;
        assert!(!place(db, id).await, "{id}");
    }
    let asked = db.status().nodes[1].reads - read;
    assert!(asked < 19, "asked {asked} times for 19 reads, though its monitor has not asked it in between");
    // Others' reads are served by it meanwhile, over connections that are none the worse.
    assert!(place(&db.any(), 1).await);
    replica.resume_replay().await.unwrap();
    until("the replica serves own writes again", async || place(db, 20).await).await;
}

#[tokio::test]
async fn what_came_with_a_write_is_found_where_it_is() {
    let cluster = up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    session.batch_execute("create table lake (id int primary key)").await.unwrap();
    // Neither the table is missed, nor an error of the replica's handed out.
    until("the catalog is loaded", async || {
        cluster.db.explain("select from lake").reason().contains("replica")
    })
    .await;
    assert_eq!(session.query("select from lake", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_lease_makes_positions_unknown_only_until_the_next_write() {
    let cluster = up(1).await;
    let lease = cluster.db.get().await.unwrap();
    lease.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    drop(lease);
    cluster.lab.caught_up().await.unwrap();
    assert!(!place(&cluster.db, 1).await, "how far its write lies nobody has asked");
    write(&cluster.db, 2).await;
    cluster.lab.caught_up().await.unwrap();
    assert!(place(&cluster.db, 1).await && place(&cluster.db, 2).await);
}

#[tokio::test]
async fn large_answers_of_a_replica_that_is_behind_are_thrown_away() {
    let cluster = up(1).await;
    let db = &cluster.db;
    let all = "select repeat(name, 100) from item, generate_series(1, 20000)";
    write_and_replay(&cluster, 1).await;
    assert_eq!(db.query(all, &[]).await.unwrap().len(), 20_000);
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    write(db, 2).await;
    assert_eq!(db.query(all, &[]).await.unwrap().len(), 40_000);
    // The connection is whole.
    let mut rows = std::pin::pin!(db.any().query_raw(all, &[]).await.unwrap());
    let mut count = 0;
    while let Some(row) = rows.next().await {
        row.unwrap();
        count += 1;
    }
    assert_eq!(count, 20_000);
}

#[tokio::test]
async fn a_long_read_of_a_replica_that_is_behind_does_not_go_on_for_nobody() {
    let cluster = up(1).await;
    let db = &cluster.db;
    write_and_replay(&cluster, 1).await;
    assert!(place(db, 1).await);
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    write(db, 2).await;
    // Long on the primary too, where it is given up.
    let long = "select count(*) from item, generate_series(1, 2000000000) lengthy";
    let error = db.timeout(Duration::from_millis(300)).simple_query(long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%lengthy%' \
                   and pid <> pg_backend_pid()";
    until("it is cancelled there", async || cluster.ask("db-1", running).await == "0").await;
}

#[tokio::test]
async fn what_a_replica_showed_before_it_crashed_says_nothing_of_what_it_shows_behind() {
    let cluster = up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    for node in ["db-0", "db-1"] {
        cluster.ask(node, "checkpoint").await;
        cluster.lab.caught_up().await.unwrap();
    }
    let session = write_and_replay(&cluster, 1).await;
    assert!(place(&session, 1).await);
    // It begins again where it last wrote everything down, and holds back from there.
    replica.delay_replay(Duration::from_secs(600)).await.unwrap();
    replica.kill().await.unwrap();
    replica.start().await.unwrap();
    let rows = cluster.ask("db-1", "select count(*)::text from item").await;
    assert_eq!(rows, "0", "the replica went back");
    assert!(!place(&session, 1).await, "the write is shown where it is");
    assert_eq!(cluster.db.query("select from item", &[]).await.unwrap().len(), 1);
}
