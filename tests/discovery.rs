//! Nodes that are found, and not listed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond::postgres::{Db, NodeSettings};
use millpond::{ErrorKind, Event};
use millpond_tests::{Cluster, Events, Readers, reads_on_replica, until, with_events};

const OFTEN: Duration = Duration::from_millis(50);

/// What a service that knows the nodes would say.
#[derive(Clone, Default)]
struct Listed(Arc<Mutex<Vec<String>>>);

impl Listed {
    fn set(&self, nodes: &[&str]) {
        *self.0.lock().unwrap() = nodes.iter().map(|node| (*node).to_owned()).collect();
    }

    fn nodes(&self) -> io::Result<Vec<NodeSettings>> {
        let nodes = self.0.lock().unwrap();
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
