//! Where the nodes come from that are not listed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millpond_cluster::{Discovery, DiscoveryError, Found, NodeConfig};
use tokio::task::JoinSet;
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
        let mut lookups = JoinSet::new();
        for (index, (node, _)) in self.named.iter().enumerate() {
            let (node, patience) = (node.clone(), self.patience);
            lookups.spawn(async move { (index, timeout(patience, node.resolve()).await) });
        }
        let mut troubles = Vec::new();
        while let Some(answer) = lookups.join_next().await {
            let (index, answer) = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    troubles.push(error.to_string());
                    continue;
                }
            };
            let (node, last) = &self.named[index];
            match answer {
                Ok(Ok(found)) => *last.lock().unwrap_or_else(PoisonError::into_inner) = found,
                Ok(Err(error)) => troubles.push(error.to_string()),
                Err(_) => {
                    let name = node.name().unwrap_or_default();
                    troubles.push(format!("{name}: no answer within {:?}", self.patience));
                }
            }
        }
        // So that the same trouble is told the same way.
        troubles.sort_unstable();
        let last = self.named.iter().map(|(_, last)| last.lock().unwrap_or_else(PoisonError::into_inner));
        let all = last.flat_map(|last| last.clone()).collect();
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
