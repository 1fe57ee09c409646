use std::time;

use millpond_core::{Health, Observation, Role};

use super::*;
use crate::Config;
use crate::testing::Servers;

/// Servers that never answer.
fn silent() -> Servers {
    Servers::new(|_| Box::pin(std::future::pending()))
}

fn node(name: &str) -> NodeConfig<u64> {
    NodeConfig::new(name.into(), 0)
}

#[tokio::test(start_paused = true)]
async fn what_is_said_late_of_a_node_is_not_said_of_the_one_in_its_place() {
    let cluster = Cluster::start(silent(), vec![node("a"), node("b")], Config::default()).unwrap();
    let shared = &cluster.shared;
    let old = shared.named("b").unwrap();
    assert!(cluster.remove_node("b", Duration::ZERO).await.unwrap());
    cluster.add_node(node("c")).unwrap();
    let new = shared.named("c").unwrap();
    assert_eq!(old.id, new.id, "it has the other one's place");

    let (asked, took) = (time::Instant::now(), Duration::ZERO);
    let input = Input::Answered { node: old.id, asked, took, observation: Observation::of(Role::Primary) };
    shared.take_in(old, input.clone());
    assert!(shared.view.load().of(old).is_none());
    let health = || shared.view.load().of(new).map(|view| view.health);
    assert_eq!(health(), Some(Health::Unknown));
    shared.take_in(new, input);
    assert_eq!(health(), Some(Health::Up));
}

#[tokio::test(start_paused = true)]
async fn a_closed_cluster_takes_no_node() {
    let cluster = Cluster::start(silent(), vec![node("a")], Config::default()).unwrap();
    assert!(cluster.close(Duration::ZERO).await);
    assert_eq!(cluster.add_node(node("b")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cluster.status().nodes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_goes_by_the_name_that_it_was_found_by_as_long_as_no_other_was() {
    let found_as = |name: &str| NodeConfig { found_as: Some("db".into()), ..node(name) };
    let nodes = vec![node("a"), found_as("b")];
    let cluster = Cluster::start(silent(), nodes, Config::default()).unwrap();
    cluster.drain_node("db").unwrap();
    assert!(cluster.status().nodes[1].is_drained);
    cluster.add_node(found_as("c")).unwrap();
    let error = cluster.undrain_node("db").unwrap_err().to_string();
    assert!(error.contains("db stands for b, c"), "{error}");
    cluster.undrain_node("b").unwrap();
    assert!(!cluster.status().nodes[1].is_drained);
}
