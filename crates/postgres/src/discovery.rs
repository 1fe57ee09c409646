//! Where the nodes come from that are not listed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use millpond_cluster::{Discovery, DiscoveryError, NodeConfig};

use crate::connector::Connectors;
use crate::{NodeSettings, Result, Server};

/// Nodes on their way.
pub(crate) type Found =
    Pin<Box<dyn Future<Output = std::result::Result<Vec<NodeSettings>, DiscoveryError>> + Send>>;

/// Says which nodes there are.
#[derive(Clone)]
pub(crate) enum Finder {
    /// What the names of the URL stand for.
    Names,
    /// What the user's own code says.
    Asked(Arc<dyn Fn() -> Found + Send + Sync>),
}

impl Finder {
    /// For the nodes that are named.
    pub(crate) fn discovery(
        self,
        connectors: Arc<Connectors>,
        named: Vec<NodeSettings>,
    ) -> Discovery<Server> {
        Arc::new(move || {
            let (finder, connectors, named) = (self.clone(), Arc::clone(&connectors), named.clone());
            Box::pin(async move {
                let found = match finder {
                    Self::Names => {
                        let mut found = Vec::new();
                        for node in named {
                            found.extend(node.resolve().await?);
                        }
                        found
                    }
                    Self::Asked(ask) => ask().await?,
                };
                Ok(configs(&connectors, found)?)
            })
        })
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
