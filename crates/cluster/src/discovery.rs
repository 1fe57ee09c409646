//! Nodes that are found while the cluster is in use, and not listed.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{Backend, Cluster, Event, NodeConfig};

/// Why nodes could not be found.
pub type DiscoveryError = Box<dyn std::error::Error + Send + Sync>;

/// Nodes on their way.
pub type Discovered<A> = Pin<Box<dyn Future<Output = Result<Vec<NodeConfig<A>>, DiscoveryError>> + Send>>;

/// Says which nodes there are, each time it is called.
pub type Discovery<A> = Arc<dyn Fn() -> Discovered<A> + Send + Sync>;

/// How soon it is asked again at the earliest, however much changes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl<B: Backend> Cluster<B> {
    /// Asks `discovery` which nodes there are, at once, as often as `interval`, and soon after a node changed its role, came or went; adds
    /// those that are new, and takes out those that are gone. Those that were there before it are its own, too. Call it inside a runtime.
    ///
    /// When it fails, takes longer than [`connect_timeout`](crate::Config::connect_timeout), or finds no node, everything stays as it is, and an
    /// event says why.
    pub fn discover(&self, discovery: Discovery<B::Address>, interval: Duration) {
        self.keep(run(self.weak(), discovery, interval));
    }
}

/// Runs until it is aborted, with the last clone of its cluster.
async fn run<B: Backend>(
    cluster: impl Fn() -> Option<Cluster<B>> + Send,
    discovery: Discovery<B::Address>,
    interval: Duration,
) {
    let mut told: Option<Arc<str>> = None;
    loop {
        // Not kept: the last clone of it ends this.
        let Some((patience, mut changes)) = cluster()
            .map(|cluster| (cluster.shared.config.connect_timeout, cluster.shared.changes.subscribe()))
        else {
            return;
        };
        let found = match timeout(patience, discovery()).await {
            Ok(Ok(nodes)) if nodes.is_empty() => Err("it found no node".into()),
            Ok(Ok(nodes)) => Ok(nodes),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {patience:?}")),
        };
        let Some(cluster) = cluster() else { return };
        match found {
            Ok(nodes) => {
                told = None;
                take_over(&cluster, nodes);
            }
            Err(why) => {
                let cause: Arc<str> = why.into();
                // The same trouble is told once.
                if told.as_ref() != Some(&cause) {
                    cluster.shared.tell(&Event::DiscoveryFailed { cause: Arc::clone(&cause) });
                }
                told = Some(cause);
            }
        }
        drop(cluster);
        sleep(SHORTEST_INTERVAL.min(interval)).await;
        // A name may stand for another server now.
        let _ = timeout(interval.saturating_sub(SHORTEST_INTERVAL), changes.changed()).await;
    }
}

/// Adds what is new and takes out what is gone. In this order, since one node has to be left.
fn take_over<B: Backend>(cluster: &Cluster<B>, nodes: Vec<NodeConfig<B::Address>>) {
    let named = |name: &str| cluster.status().nodes.iter().any(|node| *node.name == *name);
    let wanted: HashSet<_> = nodes.iter().map(|node| Arc::clone(&node.name)).collect();
    for node in nodes {
        if named(&node.name) {
            continue;
        }
        if let Err(error) = cluster.add_node(node) {
            cluster.shared.tell(&Event::DiscoveryFailed { cause: error.to_string().into() });
        }
    }
    for gone in cluster.status().nodes.iter().filter(|node| !wanted.contains(&node.name)) {
        let (shared, name) = (Arc::clone(&cluster.shared), Arc::clone(&gone.name));
        let patience = shared.config.acquire_timeout;
        // What runs there may end, and nobody waits for that.
        cluster.keep(async move {
            // Another one may have been faster.
            let _ = shared.remove_node(&name, patience).await;
        });
    }
}
