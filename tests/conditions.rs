//! How a node is not well: slow, lagging, or wanted by more callers than we have connections; apart from one that is down.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::Db;
use millpond::{ErrorKind, Event, Lag, NodeStatus, Outcome};
use millpond_lab::{Lab, StopMode};
use millpond_tests::{Cluster, Events, Readers, until, with_events};

fn node(cluster: &Cluster, index: usize) -> NodeStatus {
    cluster.db.status().nodes[index].clone()
}

#[tokio::test]
async fn a_replica_that_answers_slowly_gets_no_reads_while_another_can() {
    let cluster = Cluster::up_with(2, |builder| builder.max_lag(Duration::from_secs(5))).await;
    let is_slow = |told: bool| move |event: &Event| matches!(event, Event::NodeSlow { is_slow, .. } if *is_slow == told);
    let network = cluster.lab.node("db-2").unwrap().network();
    network.delay(Duration::from_millis(50));
    until("it is told", async || cluster.events.any(is_slow(true))).await;
    assert!(cluster.db.status().to_string().contains("slow"), "{}", cluster.db.status());
    let before = node(&cluster, 2).reads;
    let readers = Readers::start(&cluster.db, 4);
    readers.more(500).await;
    assert_eq!(node(&cluster, 2).reads, before);

    network.restore();
    until("it is well again", async || cluster.events.any(is_slow(false))).await;
    until("it reads again", async || node(&cluster, 2).reads > before).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_replica_that_comes_back_gets_its_share_little_by_little() {
    let cluster = Cluster::up(2).await;
    let replica = cluster.lab.node("db-2").unwrap();
    let readers = Readers::start(&cluster.db, 4);
    replica.kill().await.unwrap();
    until("it is down", async || cluster.events.any(|event| matches!(event, Event::NodeDown { .. }))).await;
    replica.start().await.unwrap();
    until("it reads again", async || node(&cluster, 2).reads > 0 && node(&cluster, 2).lag.time().is_some())
        .await;
    let before = [1, 2].map(|index| node(&cluster, index).reads);
    readers.more(1000).await;
    let after = [1, 2].map(|index| node(&cluster, index).reads);
    let (other, back) = (after[0] - before[0], after[1] - before[1]);
    assert!(
        back * 3 < other,
        "{back} on the one that came back, {other} on the other\n{}",
        cluster.db.status()
    );
    readers.stop().await;
}

#[tokio::test]
async fn a_replica_that_is_held_back_lags_and_is_up() {
    let cluster = Cluster::up_with(1, |builder| builder.max_lag(Duration::from_millis(300))).await;
    let replica = cluster.lab.node("db-1").unwrap();
    let is_lagging = |told: bool| move |event: &Event| matches!(event, Event::NodeLagging { is_lagging, .. } if *is_lagging == told);
    replica.pause_replay().await.unwrap();
    cluster.db.execute("insert into item values (1)", &[]).await.unwrap();
    until("it is told", async || cluster.events.any(is_lagging(true))).await;
    let status = node(&cluster, 1);
    assert!(status.is_lagging && !status.is_slow, "{status:?}");
    assert!(!cluster.events.any(|event| matches!(event, Event::NodeDown { .. })));
    replica.resume_replay().await.unwrap();
    until("it has caught up", async || cluster.events.any(is_lagging(false))).await;
}

#[tokio::test]
async fn callers_who_wait_for_our_own_connections_are_told_and_say_nothing_of_the_node() {
    for replicas in [0, 1] {
        saturate(&Cluster::up_with(replicas, |builder| builder.max_size(1)).await).await;
    }
}

async fn saturate(cluster: &Cluster) {
    let is_saturated = |told: bool| move |event: &Event| matches!(event, Event::NodeSaturated { is_saturated, .. } if *is_saturated == told);
    let held = cluster.db.get().await.unwrap();
    let db = cluster.db.clone();
    let waiting = tokio::spawn(async move { db.execute("delete from item", &[]).await });
    until("it is told", async || cluster.events.any(is_saturated(true))).await;
    assert!(node(cluster, 0).is_saturated);
    drop(held);
    waiting.await.unwrap().unwrap();
    until("nobody waits", async || cluster.events.any(is_saturated(false))).await;
    assert!(!cluster.events.any(|event| matches!(event, Event::NodeDown { .. } | Event::NodeSlow { .. })));
}

#[tokio::test]
async fn a_primary_that_lets_no_monitor_in_is_written_to_all_the_same() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let ask = async |sql: &str| lab.primary().ask("postgres", sql).await.unwrap();
    for sql in ["create role app login", "create table t (n int)", "grant all on t to app"] {
        ask(sql).await;
    }
    lab.caught_up().await.unwrap();
    let events = Events::default();
    let db = Db::builder(&lab.url_for("app", "", "postgres")).unwrap().max_size(1);
    let db = with_events(db, &events).connect().await.unwrap();
    let write = async || db.execute("insert into t values (1)", &[]).await;
    write().await.unwrap();
    // What is open stays open.
    ask("alter role app connection limit 1").await;
    ask("select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'app' and query like '%is_replica%'")
    .await;
    until("it is told", async || events.any(|event| matches!(event, Event::MonitorTurnedAway { .. }))).await;
    for _ in 0..100 {
        write().await.unwrap();
    }
    assert!(
        !events.any(|event| matches!(event, Event::PrimaryLost { .. } | Event::NodeDown { .. })),
        "{}",
        db.status()
    );
    assert!(db.status().to_string().contains("too many connections"), "{}", db.status());
    ask("alter role app connection limit -1").await;
    for word in ["monitor_turned_away", "connect_failed"] {
        let is_over = |event: &Event| matches!(event, Event::Over { what, node: Some(_) } if *what == word);
        let was_told = events.any(|event| event.as_str() == word);
        until("it is over", async || !was_told || events.any(is_over)).await;
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_once_for_each_replica_with_its_name() {
    let lab = Lab::builder().replicas(1).password("app", "secret").up().await.unwrap();
    let events = Events::default();
    let url = lab.url_for("app", "secret", "postgres");
    let connect = || with_events(Db::builder(&url).unwrap(), &events).connect();
    let db = connect().await.unwrap();
    let told = || {
        events.count(|event| matches!(event, Event::ProbeIncomplete { cause, .. } if cause.contains("GRANT pg_read_all_stats")))
    };
    until("it is told", async || told() > 0).await;
    let lag = || db.status().nodes[1].lag.time();
    let mut lags = vec![lag()];
    until("it was asked again", async || {
        lags.push(lag());
        lags.dedup();
        lags.len() > 20
    })
    .await;
    assert_eq!(told(), 1);
    lab.primary().ask("postgres", "grant pg_read_all_stats to app").await.unwrap();
    lab.caught_up().await.unwrap();
    let is_over = |event: &Event| matches!(event, Event::Over { what: "probe_incomplete", node: Some(_) });
    until("it is over", async || events.any(is_over)).await;
    let _again = connect().await.unwrap();
    assert_eq!(told(), 1, "it has the right");
}

#[tokio::test]
async fn connections_that_could_not_be_opened_to_a_lone_node_and_can_again_end_their_alert() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let ask = async |sql: &str| lab.primary().ask("postgres", sql).await.unwrap();
    for sql in ["create role app login", "create table t (n int)", "grant all on t to app"] {
        ask(sql).await;
    }
    let events = Events::default();
    let db = Db::builder(&lab.url_for("app", "", "postgres")).unwrap().max_size(1);
    let db = with_events(db, &events).acquire_timeout(Duration::from_millis(300)).connect().await.unwrap();
    let write = async || db.execute("insert into t values (1)", &[]).await;
    write().await.unwrap();
    ask("revoke connect on database postgres from public").await;
    ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'").await;
    let is_told = |event: &Event| matches!(event, Event::ConnectFailed { .. });
    until("it is told", async || {
        let _ = write().await;
        events.any(is_told)
    })
    .await;
    ask("grant connect on database postgres to public").await;
    until("it can be written to", async || write().await.is_ok()).await;
    let is_over = |event: &Event| matches!(event, Event::Over { what: "connect_failed", node: Some(_) });
    until("it is over", async || events.any(is_over)).await;
}

#[tokio::test]
async fn that_no_node_takes_writes_at_the_start_is_told() {
    let cluster = Cluster::up(1).await;
    let (events, replica) = (Events::default(), cluster.lab.node("db-1").unwrap());
    let db = with_events(Db::builder(&replica.url("postgres")).unwrap(), &events);
    let db = db.acquire_timeout(Duration::from_millis(200)).connect().await.unwrap();
    until("it is told", async || events.any(|event| *event == Event::NoPrimary)).await;
    let error = db.query("select 1", &[]).await.unwrap_err().to_string();
    assert!(error.contains("any() takes such an answer") && !error.contains("within()"), "{error}");
    assert_eq!(db.any().query("select 1", &[]).await.unwrap().len(), 1);
    cluster.lab.primary().stop(StopMode::Immediate).await.unwrap();
    replica.promote().await.unwrap();
    until("one does", async || events.any(|event| matches!(event, Event::PrimaryChanged { .. }))).await;
    assert_eq!(events.count(|event| **event == Event::NoPrimary), 1);
}

#[tokio::test]
async fn what_a_failover_discards_is_told() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    replica.replication().stall();
    cluster.db.execute("insert into item select generate_series(1, 1000)", &[]).await.unwrap();
    let wrote = cluster.ask("db-0", "select pg_current_wal_insert_lsn()").await;
    until("the monitor has seen it", async || {
        let behind = "select pg_last_wal_replay_lsn() < '{}'".replace("{}", &wrote);
        assert_eq!(cluster.ask("db-1", &behind).await, "t");
        matches!(cluster.db.status().nodes[1].lag, Lag::Known { distance: Some(1_000..), .. } | Lag::Unknown)
    })
    .await;
    cluster.lab.primary().kill().await.unwrap();
    replica.promote().await.unwrap();
    let is_told = |event: &Event| matches!(event, Event::Discarded { distance: 1_000.., .. });
    until("it is told", async || cluster.events.any(is_told)).await;
}

#[tokio::test]
async fn a_call_has_a_limit_where_that_is_set_for_all() {
    let cluster = Cluster::up_with(0, |builder| builder.call_timeout(Some(Duration::from_millis(200)))).await;
    let error = cluster.db.execute("select pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MayHaveRun), "{error}");
    cluster.db.timeout(Duration::from_secs(20)).execute("select pg_sleep(0.4)", &[]).await.unwrap();
}
