//! Nodes that are found while the cluster is in use, and not listed.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::told::Told;
use crate::{Backend, Cluster, Event, NodeConfig};

/// Why nodes could not be found.
pub type DiscoveryError = Box<dyn std::error::Error + Send + Sync>;

/// Nodes that were found.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever finds nodes makes it")]
pub struct Found<A> {
    /// All there are, as far as is known: those too that are taken from an earlier answer, where a part of the question has none now.
    pub nodes: Vec<NodeConfig<A>>,
    /// Why a part of the question has no answer, where one has not.
    pub trouble: Option<DiscoveryError>,
}

/// Nodes on their way.
pub type Discovered<A> = Pin<Box<dyn Future<Output = Result<Found<A>, DiscoveryError>> + Send>>;

/// Says which nodes there are, each time it is called.
pub type Discovery<A> = Arc<dyn Fn() -> Discovered<A> + Send + Sync>;

/// How soon it is asked again at the earliest, however much changes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl<B: Backend> Cluster<B> {
    /// Asks `discovery` which nodes there are, at once, as often as `interval`, and soon after a node changed its role, came or went; adds
    /// those that are new, and takes out those that two answers in a row did not name, of which the second is asked for a second behind the first, or
    /// an interval, if that is less; but not the primary while it is one, nor the name that decides who is. Weights and zones are those that it
    /// says. Nodes that were there before it are its own, too. Call it inside a runtime.
    ///
    /// When it fails, panics, takes longer than [`connect_timeout`](crate::Config::connect_timeout), or finds no node, everything stays as it is, and an
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
    let mut told = Told::default();
    let mut listed = Listed::default();
    loop {
        // Not kept: the last clone of it ends this.
        let Some((patience, mut changes)) = cluster()
            .map(|cluster| (cluster.shared.config.connect_timeout, cluster.shared.changes.subscribe()))
        else {
            return;
        };
        // In a task of its own, so that this one outlives what it does.
        let mut asking = JoinSet::new();
        asking.spawn(discovery());
        let found = match timeout(patience, asking.join_next()).await {
            Ok(Some(Ok(Ok(found)))) if found.nodes.is_empty() => {
                let why = found.trouble.map(|trouble| format!(": {trouble}"));
                Err(format!("it found no node{}", why.unwrap_or_default()))
            }
            Ok(Some(Ok(Ok(found)))) => Ok(found),
            Ok(Some(Ok(Err(error)))) => Err(error.to_string()),
            Ok(Some(Err(error))) => Err(format!("it panicked: {error}")),
            Ok(None) | Err(_) => Err(format!("no answer within {patience:?}")),
        };
        let Some(cluster) = cluster() else { return };
        let (is_in_doubt, troubles) = match found {
            Ok(found) => {
                let (is_in_doubt, mut troubles) = listed.take_over(&cluster, found.nodes);
                troubles.extend(found.trouble.map(|why| why.to_string()));
                (is_in_doubt, troubles)
            }
            Err(why) => (false, vec![why]),
        };
        let is_well = troubles.is_empty();
        let trouble = (!is_well).then(|| Event::DiscoveryFailed { cause: troubles.join("; ").into() });
        told.is(&cluster.shared, trouble);
        drop(cluster);
        sleep(SHORTEST_INTERVAL.min(interval)).await;
        if !is_in_doubt {
            // A name may stand for another server now.
            let _ = timeout(interval.saturating_sub(SHORTEST_INTERVAL), changes.changed()).await;
        }
    }
}

/// What was said of nodes before.
#[derive(Default)]
struct Listed {
    said: HashMap<Arc<str>, (f64, Option<Arc<str>>)>,
    /// Those that the last answer did not name, and that are there.
    missing: HashSet<Arc<str>>,
}

impl Listed {
    /// Adds what is new, and then, since one node has to be left, takes out what is gone; but not the primary, while it is one: answers have
    /// holes, and a cache may say the same again; unless it has another name. Says whether a node is missing for the first time, and what could not be done.
    fn take_over<B: Backend>(
        &mut self,
        cluster: &Cluster<B>,
        nodes: Vec<NodeConfig<B::Address>>,
    ) -> (bool, Vec<String>) {
        let shared = &cluster.shared;
        let mut troubles = Vec::new();
        let mut said = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let (name, weight, zone) = (Arc::clone(&node.name), node.weight, node.zone.clone());
            let result = match shared.exactly(&name) {
                // What an operator set meanwhile stays until another is said.
                Some(known) if self.said.get(&name) != Some(&(weight, zone.clone())) => {
                    shared.set_zone(known, zone.clone());
                    cluster.set_weight(&name, weight)
                }
                Some(_) => Ok(()),
                None => cluster.add_node(node),
            };
            troubles.extend(result.err().map(|error| error.to_string()));
            said.insert(name, (weight, zone));
        }
        self.said = said;
        let view = shared.view.load();
        let has_other_name = |node: &Node<B>| {
            let server = view.of(node).and_then(|known| known.server);
            server.is_some() && view.members().any(|other| other.id != node.id && other.server == server)
        };
        let may_go = |node: &&Node<B>| !node.is_endpoint && (!view.is_primary(node) || has_other_name(node));
        let names: Vec<_> = shared.members(&view).filter(may_go).map(|node| Arc::clone(&node.name)).collect();
        let unsaid = names.into_iter().filter(|name| !self.said.contains_key(name));
        let (gone, missing): (HashSet<_>, HashSet<_>) = unsaid.partition(|name| self.missing.contains(name));
        for name in gone {
            let (shared, patience) = (Arc::clone(shared), shared.limits.acquire_timeout());
            // What runs there may end, and nobody waits for that.
            cluster.keep(async move {
                // Another one may have been faster.
                let _ = shared.remove_node(&name, patience).await;
            });
        }
        self.missing = missing;
        (!self.missing.is_empty(), troubles)
    }
}
