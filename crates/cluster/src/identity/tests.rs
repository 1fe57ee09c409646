use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::{Access, Input, Observation, Role, Timeline};

use super::*;
use crate::node::now;
use crate::testing::{Servers, Where, server};
use crate::{Cluster, Config, NodeConfig, Statement};

#[tokio::test]
async fn no_statement_runs_on_another_server_than_the_one_by_which_its_node_was_chosen() {
    let leads = Arc::new(AtomicU64::new(1));
    let leads_to = Arc::clone(&leads);
    let servers = Servers::new(move |_| Box::pin(ready(Ok(server(leads_to.load(Ordering::Relaxed))))));
    let mut config = Config::default();
    (config.catalog_interval, config.connect_timeout) = (None, Duration::from_secs(60));
    let nodes = vec![NodeConfig::new("a".into(), 1)];
    let cluster = Cluster::start(servers, nodes, config).unwrap();
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
