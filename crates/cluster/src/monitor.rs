//! One task per node: asks it who it is, over a connection of its own, and tells the topology.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millpond_core::{Health, Input};
use tokio::time::{sleep, timeout};

use crate::cluster::Shared;
use crate::error::describe;
use crate::node::{Node, now};
use crate::{Backend, Event, NodeKey, Purpose, connections_per_node};

/// Nudges come as often as reads find a replica too old; probes do not.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

/// Runs until it is aborted, with its node or with the last clone of its cluster.
pub(crate) async fn run<B: Backend>(shared: Arc<Shared<B>>, key: NodeKey) {
    let node = shared.node_of(key);
    let mut connection = None;
    loop {
        let input = probe(&shared, node, &mut connection).await;
        let is_silent = matches!(input, Input::Silent { .. });
        shared.take_in(node, input);
        node.look_at_held();
        look_at_limit(&shared, node);
        if let Some(cause) = node.connects.news() {
            shared.tell(&Event::ConnectFailed { node: Arc::clone(&node.name), cause });
        }
        sleep(SHORTEST_INTERVAL).await;
        if is_silent && is_in_use(&shared, node) {
            // Traffic still goes to it: one more silence decides.
            continue;
        }
        if is_settled(&shared) {
            // Nothing to choose and nobody to follow: only evidence of a change makes a lone node worth asking.
            node.nudged.notified().await;
        } else {
            // Either way the next probe is due.
            let _ = timeout(shared.config.probe_interval, node.nudged.notified()).await;
        }
    }
}

/// Warns where a node cannot have as many connections as may be opened to it.
fn look_at_limit<B: Backend>(shared: &Shared<B>, node: &Node<B>) {
    let Some(limit) = shared.backend.connection_limit(&node.address) else { return };
    let wanted = connections_per_node(shared.max_size.load(Ordering::Relaxed), shared.config.processes);
    let has_too_few = wanted > limit;
    let was_told = node.has_too_few.swap(has_too_few, Ordering::Relaxed);
    if has_too_few && !was_told {
        shared.tell(&Event::TooFewConnections { node: Arc::clone(&node.name), wanted, limit });
    }
}

fn is_in_use<B: Backend>(shared: &Shared<B>, node: &Node<B>) -> bool {
    shared.view.load().of(node).is_some_and(|view| view.health == Health::Up)
}

/// Whether there is one node, and it takes writes.
fn is_settled<B: Backend>(shared: &Shared<B>) -> bool {
    let view = shared.view.load();
    view.is_lone() && view.primary.is_some()
}

async fn probe<B: Backend>(
    shared: &Shared<B>,
    node: &Node<B>,
    connection: &mut Option<B::Connection>,
) -> Input<B::Position> {
    // A node that traffic still goes to must be found out soon; one that is not in use may take its time.
    let patience =
        if is_in_use(shared, node) { shared.config.probe_timeout } else { shared.config.connect_timeout };
    let open = match connection.take().filter(|open| shared.backend.is_open(open)) {
        Some(open) => Ok(Ok(open)),
        None => timeout(patience, shared.backend.connect(&node.address, Purpose::Probe)).await,
    };
    let mut open = match open {
        Ok(Ok(open)) => open,
        Ok(Err(error)) => return unreachable(shared, node, "connecting", &error),
        Err(_) => return silent(node, "no connection", patience),
    };
    let asked = now();
    match timeout(shared.config.probe_timeout, shared.backend.observe(&mut open)).await {
        Ok(Ok(observation)) => {
            *connection = Some(open);
            node.probe_failed(None);
            Input::Answered { node: node.id, asked, observation }
        }
        Ok(Err(error)) => unreachable(shared, node, "asking who it is", &error),
        Err(_) => silent(node, "no answer to a probe", shared.config.probe_timeout),
    }
}

fn unreachable<B: Backend>(
    shared: &Shared<B>,
    node: &Node<B>,
    doing: &str,
    error: &B::Error,
) -> Input<B::Position> {
    let failure = shared.backend.failure(error);
    node.probe_failed(Some(describe(doing, error, &failure).into()));
    Input::Unreachable { node: node.id }
}

fn silent<B: Backend>(node: &Node<B>, what: &str, limit: Duration) -> Input<B::Position> {
    node.probe_failed(Some(format!("{what} within {limit:?}").into()));
    Input::Silent { node: node.id }
}
