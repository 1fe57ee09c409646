//! Where the nodes come from that are not listed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use millpond_cluster::{Discovery, DiscoveryError, Found, NodeConfig};
use tokio::time::timeout;

use crate::connector::Connectors;
use crate::{NodeSettings, Result, Server};

/// Nodes on their way.
pub(crate) type Asked =
    Pin<Box<dyn Future<Output = std::result::Result<Vec<NodeSettings>, DiscoveryError>> + Send>>;

/// Says which nodes there are.
#[derive(Clone)]
pub(crate) enum Finder {
    /// What the names of the URL stand for.
    Names,
    /// What the user's own code says.
    Asked(Arc<dyn Fn() -> Asked + Send + Sync>),
}

impl Finder {
    /// For the nodes that are named.
    pub(crate) fn discovery(
        self,
        connectors: Arc<Connectors>,
        named: Vec<NodeSettings>,
    ) -> Discovery<Server> {
        // One that hangs must not take the others' time.
        let names = Arc::new(Names::new(named, connectors.probe_limit / 2));
        Arc::new(move || {
            let (finder, connectors, names) = (self.clone(), Arc::clone(&connectors), Arc::clone(&names));
            Box::pin(async move {
                let (nodes, trouble) = match finder {
                    Self::Names => names.look_up().await,
                    Self::Asked(ask) => (ask().await?, None),
                };
                Ok(Found { nodes: configs(&connectors, nodes)?, trouble })
            })
        })
    }
}

/// Names, and what each stood for when it was last looked up.
struct Names {
    named: Vec<(NodeSettings, Mutex<Vec<NodeSettings>>)>,
    /// How long one may take.
    patience: Duration,
}

impl Names {
    fn new(named: Vec<NodeSettings>, patience: Duration) -> Self {
        Self { named: named.into_iter().map(|node| (node, Mutex::default())).collect(), patience }
    }

    /// What they stand for. One that cannot be looked up stands for what it did, and says why.
    async fn look_up(&self) -> (Vec<NodeSettings>, Option<DiscoveryError>) {
        let answers =
            join_all(self.named.iter().map(|(node, _)| timeout(self.patience, node.clone().resolve())));
        let (mut all, mut troubles) = (Vec::new(), Vec::new());
        for ((node, last), answer) in self.named.iter().zip(answers.await) {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(Ok(found)) => *last = found,
                Ok(Err(error)) => troubles.push(error.to_string()),
                Err(_) => {
                    let name = node.name().unwrap_or_default();
                    troubles.push(format!("{name}: no answer within {:?}", self.patience));
                }
            }
            all.extend(last.iter().cloned());
        }
        (all, (!troubles.is_empty()).then(|| troubles.join("; ").into()))
    }
}

/// Each node once: what is said last of one stands.
pub(crate) fn configs(connectors: &Connectors, nodes: Vec<NodeSettings>) -> Result<Vec<NodeConfig<Server>>> {
    let mut configs: Vec<NodeConfig<Server>> = Vec::new();
    for node in nodes {
        let node = node.config(connectors)?;
        match configs.iter_mut().find(|other| other.name == node.name) {
            Some(other) => *other = node,
            None => configs.push(node),
        }
    }
    Ok(configs)
}
