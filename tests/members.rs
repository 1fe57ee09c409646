//! Nodes that are added, taken out and drained while everything runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use millpond::postgres::{Db, NodeSettings};
use millpond::{ErrorKind, Event, Outcome, Report, Role};
use millpond_tests::{Cluster, Events, Readers, reads_on_replica, until, with_events};

const PATIENCE: Duration = Duration::from_secs(10);

/// The address of a node of the lab.
fn address(cluster: &Cluster, node: &str) -> String {
    format!("127.0.0.1:{}", cluster.lab.node(node).unwrap().port())
}

/// How many reads a node served as a replica.
fn reads(db: &Db, node: &str) -> u64 {
    db.status().nodes.iter().find(|status| *status.name == *node).map_or(0, |status| status.reads)
}

#[tokio::test]
async fn a_replica_that_is_added_gets_reads_and_one_that_is_taken_out_gets_none() {
    let cluster = Cluster::up(1).await;
    let events = Events::default();
    let alone = Db::builder(&cluster.lab.primary().url("postgres")).unwrap();
    let db = with_events(alone, &events).connect().await.unwrap();
    assert!(!reads_on_replica(&db).await);
    let replica = address(&cluster, "db-1");
    db.nodes().add(&*replica).unwrap();
    until("the replica serves reads", async || reads_on_replica(&db).await).await;
    assert!(events.any(|event| matches!(event, Event::NodeAdded { node } if **node == *replica)));
    assert_eq!(db.status().nodes.len(), 2);

    assert!(db.nodes().remove(&replica, PATIENCE).await.unwrap(), "nothing runs on it");
    assert!(!reads_on_replica(&db).await);
    assert_eq!(db.status().nodes.len(), 1);
    assert!(events.any(|event| matches!(event, Event::NodeRemoved { node } if **node == *replica)));
    let connections = "select count(*)::text from pg_stat_activity where application_name = 'millpond'
                       and client_port is not null";
    db.nodes().remove(&replica, PATIENCE).await.unwrap_err();
    drop(cluster.db);
    until("its connections are closed", async || {
        cluster.lab.node("db-1").unwrap().ask("postgres", connections).await.unwrap().as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn trap_40_nodes_that_come_and_go_under_load_fail_nothing_and_change_no_role() {
    let cluster = Cluster::up(2).await;
    let db = &cluster.db;
    let readers = Readers::start(db, 8);
    let replica = address(&cluster, "db-2");
    // More often than there are places for nodes.
    for written in 0..70 {
        assert!(db.nodes().remove(&replica, PATIENCE).await.unwrap());
        db.execute("insert into item values ($1)", &[&written]).await.unwrap();
        readers.more(5).await;
        db.nodes().add(&*replica).unwrap();
        readers.more(5).await;
    }
    let before = reads(db, &replica);
    until("it serves reads again", async || reads(db, &replica) > before).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
    let status = db.status();
    assert_eq!(status.epoch.get(), 1, "the primary is the same all the time");
    assert!(!cluster.events.any(|event| {
        matches!(event, Event::RoleChanged { .. } | Event::PrimaryLost { .. } | Event::NodeDown { .. })
    }));
}

#[tokio::test]
async fn what_runs_on_a_node_that_is_taken_out_may_end() {
    let cluster = Cluster::up(1).await;
    let reader = cluster.db.begin_read_only().await.unwrap();
    assert!(reader.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get::<_, bool>(0));
    let replica = address(&cluster, "db-1");
    let removing = tokio::spawn({
        let (db, replica) = (cluster.db.clone(), replica.clone());
        async move { db.nodes().remove(&replica, PATIENCE).await.unwrap() }
    });
    until("it is out", async || cluster.db.status().nodes.len() == 1).await;
    reader.query("select count(*) from item", &[]).await.unwrap();
    assert!(!removing.is_finished());
    reader.commit().await.unwrap();
    assert!(removing.await.unwrap());
}

#[tokio::test]
async fn a_read_that_runs_on_a_node_that_is_taken_out_ends_there() {
    let cluster = Cluster::up(1).await;
    let replica = address(&cluster, "db-1");
    let report = Report::new();
    let lengthy = "select count(*) from generate_series(1, 4000000) as lengthy";
    let reading = tokio::spawn({
        let db = cluster.db.any().with_report(&report);
        async move { db.query(lengthy, &[]).await }
    });
    let runs = "select count(*)::text from pg_stat_activity
        where state = 'active' and query like '%lengthy%' and pid <> pg_backend_pid()";
    until("it runs on the replica", async || cluster.ask("db-1", runs).await == "1").await;
    assert!(cluster.db.nodes().remove(&replica, PATIENCE).await.unwrap(), "it came back in time");
    reading.await.unwrap().unwrap();
    let served = report.last().unwrap();
    assert_eq!((&*served.node, served.tries), (&*replica, 1));
}

#[tokio::test]
async fn when_patience_is_over_reads_go_on_elsewhere_and_what_holds_a_connection_is_given_up() {
    let cluster = Cluster::up(1).await;
    let replica = address(&cluster, "db-1");
    let held = cluster.db.begin_read_only().await.unwrap();
    let endless_there = "select case when pg_is_in_recovery()
                                then (select count(*) from generate_series(1, 100000000000))
                                else (select count(*) from item) end";
    let reading = tokio::spawn({
        let db = cluster.db.clone();
        async move { db.query_one(endless_there, &[]).await }
    });
    let runs = "select count(*)::text from pg_stat_activity where query like '%generate_series%' and pid <> pg_backend_pid()";
    until("the read runs on the replica", async || cluster.ask("db-1", runs).await == "1").await;
    assert!(!cluster.db.nodes().remove(&replica, Duration::ZERO).await.unwrap(), "not all came back");
    assert_eq!(reading.await.unwrap().unwrap().get::<_, i64>(0), 0);
    let error = held.query("select count(*) from item", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    drop(held);
    until("it is cancelled there", async || cluster.ask("db-1", runs).await == "0").await;
}

#[tokio::test]
async fn a_drained_replica_gets_no_reads_until_it_is_drained_no_more() {
    let cluster = Cluster::up(2).await;
    let (db, replica) = (&cluster.db, address(&cluster, "db-1"));
    db.nodes().drain(&replica).unwrap();
    let before = reads(db, &replica);
    let readers = Readers::start(db, 4);
    readers.more(200).await;
    assert_eq!(reads(db, &replica), before);
    assert!(db.status().nodes[1].is_drained);
    db.nodes().undrain(&replica).unwrap();
    until("it gets reads", async || reads(db, &replica) > before).await;
    db.nodes().drain(&replica).unwrap();
    db.nodes().drain(&address(&cluster, "db-2")).unwrap();
    db.nodes().drain(&address(&cluster, "db-0")).unwrap();
    assert!(!reads_on_replica(db).await, "the primary is left, for reads too");
    db.execute("insert into item values (1)", &[]).await.unwrap();
    assert_eq!(db.explain("select 1 from item").reason(), "every replica is drained");
    assert_eq!(readers.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_primary_that_is_taken_out_takes_no_writes_and_the_next_one_does() {
    let cluster = Cluster::up(1).await;
    let (db, old) = (&cluster.db, address(&cluster, "db-0"));
    let held = db.begin().await.unwrap();
    assert!(!db.nodes().remove(&old, Duration::ZERO).await.unwrap());
    let error = held.execute("insert into item values (1)", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    let write = tokio::spawn({
        let db = db.clone();
        async move { db.execute("insert into item values (2)", &[]).await }
    });
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(cluster.ask("db-1", "select string_agg(id::text, ',') from item").await, "2");
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item").await, "0");
}

#[tokio::test]
async fn a_server_moves_to_another_name_without_a_failed_write() {
    let cluster = Cluster::up(1).await;
    let (db, old) = (&cluster.db, address(&cluster, "db-0"));
    let other_name = old.replace("127.0.0.1", "localhost");
    for written in 0..20 {
        if written == 5 {
            db.nodes().add(&*other_name).unwrap();
        }
        if written == 10 {
            db.nodes().remove(&old, PATIENCE).await.unwrap();
        }
        db.execute("insert into item values ($1)", &[&written]).await.unwrap();
    }
    assert_eq!(cluster.ask("db-0", "select count(*)::text from item").await, "20");
}

#[tokio::test]
async fn a_heavier_node_gets_more_and_a_near_one_all() {
    let cluster = Cluster::up_with(2, |builder| builder.zone("here")).await;
    let db = &cluster.db;
    let (first, second) = (address(&cluster, "db-1"), address(&cluster, "db-2"));
    db.nodes().set_weight(&second, 1000.0).unwrap();
    let readers = Readers::start(db, 16);
    readers.more(100).await;
    let before = (reads(db, &first), reads(db, &second));
    readers.more(2000).await;
    let (light, heavy) = (reads(db, &first) - before.0, reads(db, &second) - before.1);
    assert!(heavy > 2 * light, "{heavy} and {light}");

    assert!(db.nodes().remove(&first, PATIENCE).await.unwrap());
    db.nodes().add(NodeSettings::new(&first).zone("here")).unwrap();
    until("the near one gets reads", async || reads(db, &first) > 10).await;
    // At first it gets less than its share, since it was just added.
    until("it gets all", async || {
        let before = reads(db, &second);
        readers.more(200).await;
        reads(db, &second) == before
    })
    .await;
    let before = reads(db, &second);
    cluster.lab.node("db-1").unwrap().kill().await.unwrap();
    until("the other one takes over", async || reads(db, &second) > before + 100).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_most_connections_can_be_changed() {
    let cluster = Cluster::up_with(0, |builder| builder.max_size(1)).await;
    let db = &cluster.db;
    let first = db.get().await.unwrap();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { db.get().await }
    });
    until("it waits", async || db.status().nodes[0].waiting == 1).await;
    db.nodes().change_limits(|limits| limits.max_size = 2).unwrap();
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(db.status().nodes[0].connections, 2);
    db.nodes().change_limits(|limits| limits.max_size = 1).unwrap();
    drop((first, second));
    until("one is closed", async || db.status().nodes[0].connections == 1).await;
    let error = db.nodes().change_limits(|limits| limits.max_size = 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(db.nodes().limits().max_size, 1, "those before stay");
}

#[tokio::test]
async fn how_old_reads_may_be_can_be_changed_for_handles_that_are_there() {
    let hour = Duration::from_secs(3600);
    let cluster = Cluster::up_with(1, |builder| builder.max_lag(hour)).await;
    let db = &cluster.db;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.lab.primary().ask("postgres", "insert into item values (1) returning 1").await.unwrap();
    assert!(reads_on_replica(db).await);
    let is_lagging = || db.status().nodes[1].is_lagging;
    assert!(!is_lagging());
    db.nodes().change_limits(|limits| limits.max_lag = Duration::from_millis(100)).unwrap();
    until("it lags", async || is_lagging()).await;
    assert!(!reads_on_replica(db).await);
    db.nodes().change_limits(|limits| limits.max_lag = hour).unwrap();
    until("it does not lag", async || !is_lagging()).await;
    assert!(reads_on_replica(db).await);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let cluster = Cluster::up(1).await;
    let (db, replica) = (&cluster.db, address(&cluster, "db-1"));
    let says = |error: millpond::Error, words: &[&str]| {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let nodes = db.nodes();
    says(nodes.add(&*replica).unwrap_err(), &[&replica, "twice"]);
    says(nodes.add("db-0,db-1").unwrap_err(), &["db-0,db-1", "host:port"]);
    says(nodes.add(NodeSettings::new("db-9").weight(0.0)).unwrap_err(), &["db-9:5432", "0.001", "drain"]);
    says(nodes.set_weight(&replica, f64::NAN).unwrap_err(), &[&replica, "0.001"]);
    says(nodes.drain("db-9").unwrap_err(), &["no node db-9:5432", &replica]);
    says(nodes.remove("db-9", PATIENCE).await.unwrap_err(), &["no node db-9:5432", &replica]);
    assert!(nodes.remove(&replica, Duration::MAX).await.unwrap());
    let last = address(&cluster, "db-0");
    says(nodes.remove(&last, PATIENCE).await.unwrap_err(), &[&last, "only node"]);
    let url = cluster.lab.primary().url("postgres");
    let bad = Db::builder(&url).unwrap().node(NodeSettings::new("a@b")).connect().await;
    says(bad.unwrap_err(), &["a@b"]);
    let heavy =
        Db::builder(&url).unwrap().node(NodeSettings::new(&last).weight(2.0)).connect().await.unwrap();
    let status = heavy.status();
    assert_eq!((status.nodes.len(), status.nodes[0].weight), (1, 2.0), "settings of one of the URL");
    db.close(PATIENCE).await;
    assert_eq!(nodes.add(&*replica).unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_server_with_too_few_connections_for_all_processes_is_told_once() {
    // The lab's servers have 100, of which 3 are kept for superusers.
    let cluster = Cluster::up_with(1, |builder| builder.max_size(7).processes(10)).await;
    let told = || cluster.events.count(|event| matches!(event, Event::TooFewConnections { .. }));
    assert_eq!(told(), 0);
    cluster.db.nodes().change_limits(|limits| limits.max_size = 8).unwrap();
    until("both are told", async || told() == 2).await;
    assert!(
        cluster.events.any(|event| matches!(event, Event::TooFewConnections { wanted: 100, limit: 97, .. }))
    );
    // Further answers of theirs tell nothing new.
    let (asked, some_probes) = (Instant::now(), Duration::from_millis(200));
    let fresh = cluster.db.within(some_probes);
    until("they were asked again", async || {
        asked.elapsed() > some_probes && fresh.explain("select").role() == Some(Role::Replica)
    })
    .await;
    assert_eq!(told(), 2);
}

#[tokio::test]
async fn a_node_may_be_drained_from_the_start() {
    let cluster = Cluster::up(2).await;
    let spare = address(&cluster, "db-2");
    let url = cluster.lab.url("postgres");
    let db = Db::builder(&url).unwrap().node(NodeSettings::new(&spare).drained()).connect().await.unwrap();
    let readers = Readers::start(&db, 4);
    readers.more(200).await;
    assert_eq!(reads(&db, &spare), 0);
    assert!(db.status().nodes[2].is_drained);
    db.nodes().undrain(&spare).unwrap();
    until("it gets reads", async || reads(&db, &spare) > 0).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
}
