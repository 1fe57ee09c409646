//! Nodes that are found, and not listed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond::postgres::{Db, NodeSettings};
use millpond::{ErrorKind, Event};
use millpond_tests::{Cluster, Events, Readers, reads_on_replica, until, with_events};

const OFTEN: Duration = Duration::from_millis(50);

/// What a service that knows the nodes would say.
#[derive(Clone, Default)]
struct Listed(Arc<Mutex<Vec<String>>>, Arc<Mutex<Option<Vec<String>>>>);

impl Listed {
    fn set(&self, nodes: &[&str]) {
        *self.0.lock().unwrap() = nodes.iter().map(|node| (*node).to_owned()).collect();
    }

    /// The next answer is another, and only that.
    fn once(&self, nodes: &[&str]) {
        *self.1.lock().unwrap() = Some(nodes.iter().map(|node| (*node).to_owned()).collect());
    }

    fn is_asked(&self) -> bool {
        self.1.lock().unwrap().is_none()
    }

    fn nodes(&self) -> io::Result<Vec<NodeSettings>> {
        let once = self.1.lock().unwrap().take();
        let nodes = once.unwrap_or_else(|| self.0.lock().unwrap().clone());
        if nodes.iter().any(|node| node == "trouble") {
            return Err(io::Error::other("no service"));
        }
        Ok(nodes.iter().map(|node| NodeSettings::new(node)).collect())
    }
}

fn address(cluster: &Cluster, node: &str) -> String {
    format!("127.0.0.1:{}", cluster.lab.node(node).unwrap().port())
}

/// A handle that begins with the first node and asks for the others.
async fn asks(cluster: &Cluster, listed: &Listed, events: &Events) -> Db {
    let builder = Db::builder(&cluster.lab.primary().url("postgres")).unwrap();
    let listed = listed.clone();
    let builder = builder.discovery(OFTEN, move || std::future::ready(listed.nodes()));
    with_events(builder, events).connect().await.unwrap()
}

fn names(db: &Db) -> Vec<String> {
    db.status().nodes.iter().map(|node| node.name.to_string()).collect()
}

#[tokio::test]
async fn trap_41_a_server_that_is_listed_anew_takes_over_and_one_that_is_not_is_out() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let (listed, events) = (Listed::default(), Events::default());
    listed.set(&[&first, &first]);
    let db = asks(&cluster, &listed, &events).await;
    assert_eq!(names(&db), [&*first], "one server is one node");
    let readers = Readers::start(&db, 4);
    listed.set(&[&first, &second]);
    until("the replica reads", async || reads_on_replica(&db).await).await;

    cluster.lab.caught_up().await.unwrap();
    cluster.lab.primary().kill().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    listed.set(&[&second]);
    db.execute("insert into item values (1)", &[]).await.unwrap();
    until("the dead one is out", async || names(&db) == [&*second]).await;
    db.execute("insert into item values (2)", &[]).await.unwrap();
    readers.more(20).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
    assert_eq!(cluster.ask("db-1", "select count(*)::text from item").await, "2");
}

#[tokio::test]
async fn while_nobody_says_which_nodes_there_are_they_stay() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let (listed, events) = (Listed::default(), Events::default());
    listed.set(&[&first, &second]);
    let db = asks(&cluster, &listed, &events).await;
    assert_eq!(names(&db), [&*first, &*second]);
    let failed = |why: &'static str| {
        let events = events.clone();
        move || events.count(|event| matches!(event, Event::DiscoveryFailed { cause } if cause.contains(why)))
    };
    listed.set(&["trouble"]);
    until("it is told", async || failed("no service")() == 1).await;
    listed.set(&[]);
    until("it is told", async || failed("found no node")() == 1).await;
    listed.set(&[&first, "a,b"]);
    until("it is told", async || failed("host:port")() == 1).await;
    assert_eq!(names(&db), [&*first, &*second]);
    assert_eq!((failed("no service")(), failed("found no node")()), (1, 1), "once each");
    listed.set(&[&second, &first]);
    until("it goes on", async || reads_on_replica(&db).await).await;
    assert!(db.close(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_name_is_as_many_nodes_as_it_has_addresses() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let url = cluster.lab.url("postgres").replace("127.0.0.1", "localhost");
    let events = Events::default();
    let builder = with_events(Db::builder(&url).unwrap(), &events).resolve_names(OFTEN);
    let named = NodeSettings::new(&second.replace("127.0.0.1", "localhost")).weight(3.0);
    let db = builder.node(named).connect().await.unwrap();
    let names = names(&db);
    assert!(names.contains(&first) && names.contains(&second), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("localhost")), "{names:?}");
    let status = db.status();
    assert_eq!(status.nodes.iter().find(|node| *node.name == *second).unwrap().weight, 3.0);
    db.execute("insert into item values (1)", &[]).await.unwrap();
    until("a replica reads", async || reads_on_replica(&db).await).await;

    let lazy = Db::builder(&url).unwrap().resolve_names(OFTEN).connect_lazy().unwrap();
    lazy.query("select 1 from item", &[]).await.unwrap();
    until("it is resolved", async || !lazy.status().nodes.iter().any(|node| node.name.contains("localhost")))
        .await;
    lazy.query("select 1 from item", &[]).await.unwrap();
    let never = Db::builder(&url).unwrap().resolve_names(Duration::ZERO).connect_lazy();
    assert_eq!(never.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_node_that_one_answer_leaves_out_stays() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let (listed, events) = (Listed::default(), Events::default());
    listed.set(&[&first, &second]);
    let db = asks(&cluster, &listed, &events).await;
    for _ in 0..5 {
        // Each time another one, so that no node is left out twice in a row.
        for left in [&first, &second] {
            listed.once(&[left]);
            until("it is asked", async || listed.is_asked()).await;
        }
        listed.once(&[&first, &second]);
        until("it is asked", async || listed.is_asked()).await;
    }
    assert_eq!(names(&db), [&*first, &*second]);
    assert!(!events.any(|event| matches!(event, Event::NodeRemoved { .. })));
    // Not the primary, however often.
    listed.set(&[&second]);
    for _ in 0..5 {
        listed.once(&[&second]);
        until("it is asked", async || listed.is_asked()).await;
    }
    assert_eq!(names(&db), [&*first, &*second]);
    listed.set(&[&first]);
    until("it is out", async || names(&db) == [&*first]).await;
}

#[tokio::test]
async fn another_weight_or_zone_is_taken_over_and_an_operators_stays_until_then() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let said = Arc::new(Mutex::new((1.0, "far")));
    let asked = Arc::new(AtomicUsize::new(0));
    let find = {
        let (said, asked, second) = (Arc::clone(&said), Arc::clone(&asked), second.clone());
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let (weight, zone) = *said.lock().unwrap();
            let nodes = vec![NodeSettings::new(&first), NodeSettings::new(&second).weight(weight).zone(zone)];
            std::future::ready(io::Result::Ok(nodes))
        }
    };
    let url = cluster.lab.primary().url("postgres");
    let db = Db::builder(&url).unwrap().zone("near").discovery(OFTEN, find).connect().await.unwrap();
    let is = |weight: f64, zone: &str| {
        let node = db.status().nodes.iter().find(|node| *node.name == *second).cloned().unwrap();
        (node.weight, node.zone.as_deref()) == (weight, Some(zone))
    };
    until("it is found", async || db.status().nodes.len() == 2 && is(1.0, "far")).await;
    *said.lock().unwrap() = (3.0, "near");
    until("it is another", async || is(3.0, "near")).await;
    db.nodes().set_weight(&second, 5.0).unwrap();
    let before = asked.load(Ordering::Relaxed);
    until("it was asked again", async || asked.load(Ordering::Relaxed) > before + 2).await;
    assert!(is(5.0, "near"), "{}", db.status());
    *said.lock().unwrap() = (2.0, "far");
    until("it is said anew", async || is(2.0, "far")).await;
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_takes_nothing_from_the_others() {
    let cluster = Cluster::up(1).await;
    let (first, second) = (address(&cluster, "db-0"), address(&cluster, "db-1"));
    let nowhere = "no-such-server.invalid:5432";
    let by_name = |address: &str| address.replace("127.0.0.1", "localhost");
    let hosts = [by_name(&first), nowhere.to_owned(), by_name(&second)].join(",");
    let events = Events::default();
    let builder = Db::builder(&format!("postgres://postgres@{hosts}/postgres?sslmode=disable")).unwrap();
    let db = with_events(builder, &events).resolve_names(OFTEN).connect().await.unwrap();
    let is_told =
        |event: &Event| matches!(event, Event::DiscoveryFailed { cause } if cause.contains(nowhere));
    until("it is told", async || events.any(is_told)).await;
    let names = names(&db);
    assert!(
        names.contains(&first) && names.contains(&second) && !names.contains(&nowhere.to_owned()),
        "{names:?}"
    );
    db.execute("insert into item values (1)", &[]).await.unwrap();
    until("a replica reads", async || reads_on_replica(&db).await).await;
    assert_eq!(events.count(|event| is_told(event)), 1, "once");
}

#[tokio::test]
async fn a_node_says_by_which_name_it_was_found() {
    let cluster = Cluster::up(1).await;
    let second = address(&cluster, "db-1");
    let url = cluster.lab.url("postgres").replace("127.0.0.1", "localhost");
    let db = Db::builder(&url).unwrap().resolve_names(Duration::from_secs(600)).connect().await.unwrap();
    let by_name = second.replace("127.0.0.1", "localhost");
    let node = || db.status().nodes.iter().find(|node| *node.name == *second).cloned().unwrap();
    assert_eq!(node().found_as.as_deref(), Some(&*by_name));
}
