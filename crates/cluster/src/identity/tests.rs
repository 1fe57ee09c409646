use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::{Access, Input, Observation, Role, Timeline};
use millpond_pool::Returned;
use millpond_sql::{Classifier, Dialect};

use super::*;
use crate::node::now;
use crate::{
    Answer, Backend, Cluster, Config, Failure, FailureKind, NodeConfig, NodeLease, Operation, Statement,
    Target,
};

/// A name whose connections lead to the server with this number, and whose monitor is never answered.
struct Leads(Arc<AtomicU64>);

impl Backend for Leads {
    type Position = u64;
    type Address = ();
    type Connection = ServerId;
    type Error = Infallible;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(&self, (): &(), purpose: Purpose) -> Result<ServerId, Infallible> {
        match purpose {
            Purpose::Probe => pending().await,
            Purpose::Read | Purpose::Write => Ok(server(self.0.load(Ordering::Relaxed))),
        }
    }

    async fn observe(&self, _: &mut ServerId) -> Result<Observation<u64>, Infallible> {
        pending().await
    }

    async fn classifier(&self, _: &mut ServerId, known: &Classifier) -> Result<Classifier, Infallible> {
        Ok(known.clone())
    }

    fn is_open(&self, _: &ServerId) -> bool {
        true
    }

    async fn check(&self, _: &mut ServerId) -> Result<(), Infallible> {
        Ok(())
    }

    fn returned(&self, _: &mut ServerId) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, _: &mut ServerId) -> Result<(), Infallible> {
        Ok(())
    }

    fn can_prove(&self) -> bool {
        false
    }

    fn server(&self, connection: &ServerId) -> Option<ServerId> {
        Some(*connection)
    }

    fn wrong_server(&self) -> Infallible {
        panic!("nothing leads elsewhere while it is opened here")
    }

    fn failure(&self, _: &Infallible) -> Failure {
        Failure { kind: FailureKind::ConnectionLost, code: None, hint: None }
    }
}

/// Says where its connection leads.
struct Where;

impl Operation<Leads> for Where {
    type Output = ServerId;

    async fn run(
        &mut self,
        lease: NodeLease<Leads>,
        _: Target<u64>,
    ) -> Result<Answer<ServerId, u64>, Infallible> {
        Ok(Answer::new(*lease, None))
    }
}

fn server(number: u64) -> ServerId {
    ServerId::new(None, number)
}

#[tokio::test]
async fn no_statement_runs_on_another_server_than_the_one_by_which_its_node_was_chosen() {
    let leads = Arc::new(AtomicU64::new(1));
    let mut config = Config::default();
    (config.catalog_interval, config.connect_timeout) = (None, Duration::from_secs(60));
    let nodes = vec![NodeConfig::new("a".into(), ())];
    let cluster = Cluster::start(Leads(Arc::clone(&leads)), nodes, config).unwrap();
    let shared = &cluster.shared;
    let answers = |server| {
        let node = shared.nodes.at(0);
        let observation =
            Observation { server, timeline: Some(Timeline::new(1)), ..Observation::of(Role::Primary) };
        let took = Duration::ZERO;
        shared.take_in(node, Input::Answered { node: node.id, asked: now(), took, observation });
    };
    let runs_on = async || cluster.handle().run(Statement::connection(Access::Write), &mut Where).await;
    // Nobody knows yet who is there, so that anything goes.
    answers(None);
    assert_eq!(runs_on().await.unwrap(), server(1));
    // What is pooled by now leads elsewhere.
    answers(Some(server(2)));
    leads.store(2, Ordering::Relaxed);
    assert_eq!(runs_on().await.unwrap(), server(2));
}
