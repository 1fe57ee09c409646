use std::convert::Infallible;
use std::time;

use millpond_core::{Health, Observation, Role};
use millpond_pool::Returned;
use millpond_sql::{Classifier, Dialect};

use super::*;
use crate::{Config, Failure, FailureKind};

/// Servers that never answer.
struct Silent;

impl Backend for Silent {
    type Position = u64;
    type Address = ();
    type Connection = ();
    type Error = Infallible;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(&self, (): &(), _: Purpose) -> Result<(), Infallible> {
        std::future::pending().await
    }

    async fn observe(&self, (): &mut ()) -> Result<Observation<u64>, Infallible> {
        std::future::pending().await
    }

    async fn classifier(&self, (): &mut (), known: &Classifier) -> Result<Classifier, Infallible> {
        Ok(known.clone())
    }

    fn is_open(&self, (): &()) -> bool {
        true
    }

    async fn check(&self, (): &mut ()) -> Result<(), Infallible> {
        Ok(())
    }

    fn returned(&self, (): &mut ()) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, (): &mut ()) -> Result<(), Infallible> {
        Ok(())
    }

    fn can_prove(&self) -> bool {
        false
    }

    fn wrong_server(&self) -> Infallible {
        panic!("these servers do not say who they are")
    }

    fn failure(&self, _: &Infallible) -> Failure {
        Failure { kind: FailureKind::ConnectionLost, code: None, hint: None }
    }
}

fn node(name: &str) -> NodeConfig<()> {
    NodeConfig::new(name.into(), ())
}

#[tokio::test(start_paused = true)]
async fn what_is_said_late_of_a_node_is_not_said_of_the_one_in_its_place() {
    let cluster = Cluster::start(Silent, vec![node("a"), node("b")], Config::default()).unwrap();
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
    let cluster = Cluster::start(Silent, vec![node("a")], Config::default()).unwrap();
    assert!(cluster.close(Duration::ZERO).await);
    assert_eq!(cluster.add_node(node("b")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cluster.status().nodes.len(), 1);
}
