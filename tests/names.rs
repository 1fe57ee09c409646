//! Names that stand for whichever server takes writes, for several servers, or for one that has another name too.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use millpond::postgres::{Builder, Db, NodeSettings};
use millpond::{Event, Health, Outcome, Report};
use millpond_lab::{Lab, StopMode};
use millpond_tests::{Cluster, Events, Front, until, with_events};

const INSERT: &str = "insert into item values ($1)";

fn address(lab: &Lab, node: &str) -> String {
    format!("127.0.0.1:{}", lab.node(node).unwrap().port())
}

fn port(lab: &Lab, node: &str) -> u16 {
    lab.node(node).unwrap().port()
}

/// A handle to a name and some servers, beside the one that a cluster in the lab comes with.
fn builder(addresses: &[String], events: &Events) -> Builder {
    let url = format!("postgres://postgres@{}/postgres", addresses.join(","));
    with_events(Db::builder(&url).unwrap(), events)
}

async fn rows(cluster: &Cluster, node: &str) -> String {
    cluster.ask(node, "select coalesce(string_agg(id::text, ',' order by id), '') from item").await
}

fn is_primary_changed(event: &Event) -> bool {
    matches!(event, Event::PrimaryChanged { .. })
}

#[tokio::test]
async fn writes_go_to_whom_the_endpoint_stands_for_and_to_no_promoted_copy() {
    let cluster = Cluster::up(1).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let endpoint = Front::to(&[port(lab, "db-0")]).await;
    let named = [endpoint.address(), address(lab, "db-1")];
    let settings = NodeSettings::new(&endpoint.address()).writer_endpoint();
    let db = builder(&named, &events).node(settings).connect().await.unwrap();
    db.execute(INSERT, &[&1]).await.unwrap();

    lab.caught_up().await.unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();
    let is_second = |event: &Event| matches!(event, Event::SecondPrimary { node, .. } if **node == *named[1]);
    until("the copy is told", async || events.any(is_second)).await;
    db.execute(INSERT, &[&2]).await.unwrap();
    assert_eq!([rows(&cluster, "db-0").await, rows(&cluster, "db-1").await], ["1,2", "1"]);

    endpoint.leads_to(&[port(lab, "db-1")]);
    lab.node("db-0").unwrap().kill().await.unwrap();
    // A write that goes over a connection of before, whose end has not come through yet, may have run.
    let is_followed = async || events.count(|event| is_primary_changed(event)) == 2;
    until("the endpoint is followed", is_followed).await;
    db.execute(INSERT, &[&3]).await.unwrap();
    assert_eq!(rows(&cluster, "db-1").await, "1,3");
    assert_eq!(events.count(|event| is_primary_changed(event)), 2);
}

#[tokio::test]
async fn once_a_connection_led_to_where_the_endpoint_stands_now_no_write_goes_to_the_server_before() {
    let cluster = Cluster::up(1).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let endpoint = Front::to(&[port(lab, "db-0")]).await;
    let settings = NodeSettings::new(&endpoint.address()).writer_endpoint();
    let db = builder(&[endpoint.address()], &events).node(settings).connect().await.unwrap();
    db.execute(INSERT, &[&1]).await.unwrap();
    lab.caught_up().await.unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();

    // The server before lives on and takes writes, and what is open leads to it.
    endpoint.leads_to(&[port(lab, "db-1")]);
    db.execute(INSERT, &[&2]).await.unwrap();
    assert_eq!(rows(&cluster, "db-0").await, "1,2");
    // The second connection is a new one.
    let held = db.get().await.unwrap();
    db.execute(INSERT, &[&3]).await.unwrap();
    drop(held);
    for id in 4..30_i32 {
        db.execute(INSERT, &[&id]).await.unwrap();
    }
    assert_eq!(rows(&cluster, "db-0").await, "1,2");
    assert!(rows(&cluster, "db-1").await.starts_with("1,3,4,5,"));
    assert_eq!(events.count(|event| is_primary_changed(event)), 2);
}

#[tokio::test]
async fn of_a_name_with_several_servers_nothing_is_known_of_the_age() {
    let cluster = Cluster::up(2).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let readers = Front::to(&[port(lab, "db-1"), port(lab, "db-2")]).await;
    let db = builder(&[address(lab, "db-0"), readers.address()], &events).connect().await.unwrap();
    let any = db.any();
    let are_many = |event: &Event| matches!(event, Event::ManyServers { are_many: true, .. });
    until("a connection leads elsewhere", async || {
        let (one, two) =
            tokio::join!(any.query("select pg_sleep(0.01)", &[]), any.query("select pg_sleep(0.01)", &[]));
        one.unwrap();
        two.unwrap();
        events.any(are_many)
    })
    .await;

    lab.node("db-2").unwrap().pause_replay().await.unwrap();
    let report = Report::new();
    let told = db.with_report(&report);
    for id in 0..50_i32 {
        db.execute(INSERT, &[&id]).await.unwrap();
        let seen: i64 = told.query_one("select count(*) from item", &[]).await.unwrap().get(0);
        assert_eq!(seen, i64::from(id) + 1);
        assert_eq!(*report.take().unwrap().node, *address(lab, "db-0"));
    }
    // Whoever takes any age still has both.
    let told = any.with_report(&report);
    told.query("select 1", &[]).await.unwrap();
    assert_eq!(*report.take().unwrap().node, *readers.address());
}

#[tokio::test]
async fn a_server_that_is_started_anew_is_not_taken_for_several() {
    let cluster = Cluster::up(1).await;
    for _ in 0..3 {
        for node in cluster.lab.nodes() {
            node.restart(StopMode::Fast).await.unwrap();
        }
        until("writes go on", async || cluster.db.execute("delete from item", &[]).await.is_ok()).await;
        until("the replica serves", async || millpond_tests::reads_on_replica(&cluster.db).await).await;
    }
    assert!(!cluster.events.any(|event| matches!(event, Event::ManyServers { .. })));
}

#[tokio::test]
async fn a_primary_that_is_listed_under_two_names_is_one_to_write_to() {
    let cluster = Cluster::up(1).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let front = Front::to(&[port(lab, "db-0")]).await;
    let named = [front.address(), address(lab, "db-0"), address(lab, "db-1")];
    let db = builder(&named, &events).connect().await.unwrap();
    db.execute(INSERT, &[&1]).await.unwrap();
    assert!(!events.any(|event| matches!(event, Event::AmbiguousPrimary)));

    lab.caught_up().await.unwrap();
    lab.primary().kill().await.unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();
    front.leads_to(&[port(lab, "db-1")]);
    db.execute(INSERT, &[&2]).await.unwrap();
    assert_eq!(rows(&cluster, "db-1").await, "1,2");
}

#[tokio::test]
async fn two_endpoints_are_refused_by_name() {
    let cluster = Cluster::up(1).await;
    let named = [address(&cluster.lab, "db-0"), address(&cluster.lab, "db-1")];
    let builder = named.iter().fold(builder(&named, &Events::default()), |builder, name| {
        builder.node(NodeSettings::new(name).writer_endpoint())
    });
    let error = builder.connect().await.unwrap_err().to_string();
    assert!(named.iter().all(|name| error.contains(name)), "{error}");
}

#[tokio::test]
async fn a_server_that_is_reached_in_two_ways_is_one() {
    let cluster = Cluster::up(1).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let primary = lab.primary();
    // By its socket it says no address.
    let Some(folder) = primary.socket_folder() else { return };
    let socket = folder.join(format!(".s.PGSQL.{}", primary.direct_port()));
    let named = [address(lab, "db-0"), address(lab, "db-1")];
    let other_way = NodeSettings::new(&socket.display().to_string());
    let db = builder(&named, &events).node(other_way).connect().await.unwrap();
    assert_eq!(db.status().nodes.len(), 3);
    db.execute(INSERT, &[&1]).await.unwrap();
    assert!(!events.any(|event| matches!(event, Event::AmbiguousPrimary | Event::ManyServers { .. })));
}

#[tokio::test]
async fn a_write_on_a_frozen_server_is_given_up_once_the_endpoint_stands_for_another() {
    let cluster = Cluster::up(1).await;
    let (lab, events) = (&cluster.lab, Events::default());
    let endpoint = Front::to(&[port(lab, "db-0")]).await;
    let settings = NodeSettings::new(&endpoint.address()).writer_endpoint();
    let builder = builder(&[endpoint.address()], &events).node(settings);
    let db = builder.acquire_timeout(Duration::from_secs(60)).connect().await.unwrap();
    db.execute(INSERT, &[&1]).await.unwrap();
    lab.caught_up().await.unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();
    lab.node("db-0").unwrap().freeze().await.unwrap();
    let writing = db.clone();
    let write = tokio::spawn(async move { writing.execute(INSERT, &[&2]).await });
    until("it is down", async || db.status().nodes[0].health == Health::Down).await;
    assert!(!write.is_finished(), "it may only be slow");
    endpoint.leads_to(&[port(lab, "db-1")]);
    assert_eq!(write.await.unwrap().unwrap_err().outcome(), Outcome::MayHaveRun);
    db.execute(INSERT, &[&3]).await.unwrap();
    assert_eq!(rows(&cluster, "db-1").await, "1,3");
}

/// A listener holds up what follows from an event; what is pooled must be closed by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_write_goes_to_the_server_before_while_a_listener_is_told_of_the_next() {
    let cluster = Cluster::up(1).await;
    let lab = &cluster.lab;
    let endpoint = Front::to(&[port(lab, "db-0")]).await;
    let (told, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)));
    let is_armed = Arc::new(AtomicBool::new(false));
    let builder = Db::builder(&format!("postgres://postgres@{}/postgres", endpoint.address())).unwrap();
    let db = builder
        .node(NodeSettings::new(&endpoint.address()).writer_endpoint())
        .on_event({
            let (is_armed, told, goes_on) = (Arc::clone(&is_armed), Arc::clone(&told), Arc::clone(&goes_on));
            move |event| {
                if matches!(event, Event::NodeUp { .. }) && is_armed.swap(false, Ordering::SeqCst) {
                    told.store(true, Ordering::SeqCst);
                    tokio::task::block_in_place(|| goes_on.wait());
                }
            }
        })
        .connect()
        .await
        .unwrap();
    db.execute(INSERT, &[&1]).await.unwrap();
    lab.caught_up().await.unwrap();
    let old = lab.node("db-0").unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();
    old.freeze().await.unwrap();
    until("it is down", async || db.status().nodes[0].health == Health::Down).await;
    is_armed.store(true, Ordering::SeqCst);
    endpoint.leads_to(&[port(lab, "db-1")]);
    until("the next one has answered", async || told.load(Ordering::SeqCst)).await;
    // What is pooled leads to it still.
    old.thaw().await.unwrap();
    db.execute(INSERT, &[&2]).await.unwrap();
    goes_on.wait();
    assert_eq!([rows(&cluster, "db-0").await, rows(&cluster, "db-1").await], ["1", "1,2"]);
}
