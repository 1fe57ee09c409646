//! One task per node: asks it who it is, over a connection of its own, and tells the topology.

mod backoff;
mod name;
mod pace;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millpond_core::{Health, Hysteresis, Input, NodeView, Role};
use tokio::time::{Instant, sleep, timeout};

use self::backoff::Backoff;
use self::name::Name;
use self::pace::Pace;
use crate::cluster::Shared;
use crate::error::describe;
use crate::members::View;
use crate::node::{Node, now};
use crate::told::Told;
use crate::{Backend, Event, NodeKey, Purpose, connections_per_node};

/// Nudges come as often as reads find a replica too old; probes do not.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

/// What refuses is left alone for so long at most: writes may be waiting for it.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// How often a lone node is looked at from here, without asking it.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until it is aborted, with its node or with the last clone of its cluster.
pub(crate) async fn run<B: Backend>(shared: Arc<Shared<B>>, key: NodeKey) {
    let node = shared.node_of(key);
    let mut connection = None;
    let (mut pace, mut name, mut strain) = (Pace::default(), Name::default(), Hysteresis::NO);
    let mut backoff = Backoff::default();
    let (mut away, mut incomplete) = (Told::default(), Told::default());
    let (mut connects, mut few) = (Told::default(), Told::default());
    let mut asks_anew = false;
    'probes: loop {
        if let Some((at, server)) = node.identity.take_elsewhere() {
            // The next answer says where the name leads now.
            shared.take_in(node, Input::Elsewhere { node: node.id, server, at });
            asks_anew = true;
        }
        asks_anew |= node.identity.take_asks_anew();
        if name.has_moved(&shared.backend, &node.address) && (node.is_endpoint || !hides_many(&shared, node))
        {
            asks_anew = true;
        }
        let begun = now();
        let Probe { input, is_refused } =
            probe(&shared, node, &mut connection, std::mem::take(&mut asks_anew)).await;
        let is_silent = matches!(input, Input::Silent { .. });
        let turned_away = matches!(input, Input::TurnedAway { .. });
        if node.is_endpoint && is_replica(&input) {
            // Whoever takes writes is behind the name, sooner or later.
            asks_anew = true;
        }
        node.was_asked_at(begun);
        shared.take_in(node, input);
        look_at_load(&shared, node, &mut strain);
        few.is(&shared, look_at_limit(&shared, node));
        if !turned_away {
            away.is(&shared, None);
        } else if is_in_use(&shared, node) {
            let cause = node.last_failure().unwrap_or_default();
            away.began(&shared, Some(Event::MonitorTurnedAway { node: Arc::clone(&node.name), cause }));
        }
        let complaint = shared.backend.complaint(&node.address);
        let event = |cause| Event::ProbeIncomplete { node: Arc::clone(&node.name), cause };
        incomplete.is(&shared, complaint.map(event));
        look_at_connects(&shared, node, &mut connects);
        sleep(backoff.behind(is_refused, SHORTEST_INTERVAL, LONGEST_PAUSE.min(2 * shared.probe_interval())))
            .await;
        if is_silent && is_in_use(&shared, node) {
            // Traffic still goes to it: one more silence decides.
            continue;
        }
        // Nothing to choose and nobody to follow: only evidence of a change makes a lone node worth asking.
        while is_settled(&shared) && !node.is_endpoint && away.is_over() && incomplete.is_over() {
            if timeout(LOOK_INTERVAL, node.nudged.notified()).await.is_ok() {
                continue 'probes;
            }
            look_at_load(&shared, node, &mut strain);
            look_at_connects(&shared, node, &mut connects);
            few.is(&shared, look_at_limit(&shared, node));
        }
        // Either way the next probe is due.
        let _ = timeout(pace.next(&shared), node.nudged.notified()).await;
    }
}

/// Looks how the node is loaded: by what is held of it, and by who waits for it.
fn look_at_load<B: Backend>(shared: &Shared<B>, node: &Node<B>, strain: &mut Hysteresis) {
    node.look_at_held();
    if let Some(is_saturated) = strain.take(node.strain(), now()) {
        node.is_saturated.store(is_saturated, Ordering::Relaxed);
        shared.tell(&Event::NodeSaturated { node: Arc::clone(&node.name), is_saturated });
    }
}

/// Tells where connections for statements cannot be opened.
fn look_at_connects<B: Backend>(shared: &Shared<B>, node: &Node<B>, told: &mut Told) {
    let event = |cause| Event::ConnectFailed { node: Arc::clone(&node.name), cause };
    told.began(shared, node.connects.failing().map(event));
}

/// Whether a node cannot have as many connections as may be opened to it.
fn look_at_limit<B: Backend>(shared: &Shared<B>, node: &Node<B>) -> Option<Event> {
    let limit = shared.backend.connection_limit(&node.address)?;
    let names = names_of_replica(&shared.view.load(), node);
    let wanted = names * connections_per_node(shared.limits.max_size(), shared.config.processes);
    let event = || Event::TooFewConnections { node: Arc::clone(&node.name), wanted, limit };
    (wanted > limit).then(event)
}

/// Under how many names a node's server serves reads, with a pool for each. As the primary it is known by one of them.
fn names_of_replica<B: Backend>(view: &View<B::Position>, node: &Node<B>) -> usize {
    let Some(known) = view.of(node).filter(|known| known.server.is_some() && !known.hides_many) else {
        return 1;
    };
    let is_same = |other: &&NodeView<B::Position>| {
        other.server == known.server && !other.hides_many && other.role == Some(Role::Replica)
    };
    view.members().filter(is_same).count().max(1)
}

fn is_in_use<B: Backend>(shared: &Shared<B>, node: &Node<B>) -> bool {
    shared.view.load().of(node).is_some_and(|view| view.health == Health::Up)
}

/// Whether connections to it lead to several servers, so that which one is asked is all the same.
fn hides_many<B: Backend>(shared: &Shared<B>, node: &Node<B>) -> bool {
    shared.view.load().of(node).is_some_and(|view| view.hides_many)
}

fn is_replica<P>(input: &Input<P>) -> bool {
    matches!(input, Input::Answered { observation, .. } if observation.role == Role::Replica)
}

/// Whether there is one node, and it takes writes.
fn is_settled<B: Backend>(shared: &Shared<B>) -> bool {
    let view = shared.view.load();
    view.is_lone() && view.primary.is_some()
}

/// What came of asking a node.
struct Probe<P> {
    input: Input<P>,
    /// Whether a server was there and refused: that costs it more than an answer. Where nobody listens nobody is kept busy.
    is_refused: bool,
}

async fn probe<B: Backend>(
    shared: &Shared<B>,
    node: &Node<B>,
    connection: &mut Option<B::Connection>,
    asks_anew: bool,
) -> Probe<B::Position> {
    // A node that traffic still goes to must be found out soon; one that is not in use, or that answered until we asked who is there, may take
    // its time.
    let patience = if is_in_use(shared, node) && !asks_anew {
        shared.config.probe_timeout
    } else {
        shared.config.connect_timeout
    };
    if let Some(open) = connection.take().filter(|open| !asks_anew && shared.backend.is_open(open)) {
        // Somebody may have ended that one, and nothing else: then the server answers by another.
        if let Ok(probe) = ask(shared, node, open, connection).await {
            return probe;
        }
    }
    let opening = timeout(patience, shared.backend.connect(&node.address, Purpose::Probe)).await;
    let open = match opening {
        Ok(Ok(open)) => open,
        Ok(Err(error)) => {
            let mut probe = unreachable(shared, node, "connecting", &error);
            if shared.backend.is_turned_away(&error) {
                probe = Probe { input: Input::TurnedAway { node: node.id }, is_refused: true };
            }
            return probe;
        }
        Err(_) => return silent(node, "no connection", patience),
    };
    let asked = ask(shared, node, open, connection).await;
    asked.unwrap_or_else(|error| unreachable(shared, node, "asking who it is", &error))
}

/// Asks over a connection, which is kept where it answers.
async fn ask<B: Backend>(
    shared: &Shared<B>,
    node: &Node<B>,
    mut open: B::Connection,
    connection: &mut Option<B::Connection>,
) -> Result<Probe<B::Position>, B::Error> {
    let asked = Instant::now();
    match timeout(shared.config.probe_timeout, shared.backend.observe(&mut open)).await {
        Ok(Ok(observation)) => {
            *connection = Some(open);
            node.probe_failed(None);
            let (took, asked) = (asked.elapsed(), asked.into_std());
            let input = Input::Answered { node: node.id, asked, took, observation };
            Ok(Probe { input, is_refused: false })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(silent(node, "no answer to a probe", shared.config.probe_timeout)),
    }
}

fn unreachable<B: Backend>(
    shared: &Shared<B>,
    node: &Node<B>,
    doing: &str,
    error: &B::Error,
) -> Probe<B::Position> {
    let failure = shared.backend.failure(error);
    node.probe_failed(Some(describe(doing, error, &failure).into()));
    Probe { input: Input::Unreachable { node: node.id }, is_refused: failure.code.is_some() }
}

fn silent<B: Backend>(node: &Node<B>, what: &str, limit: Duration) -> Probe<B::Position> {
    node.probe_failed(Some(format!("{what} within {limit:?}").into()));
    // The wait for it was a pause.
    Probe { input: Input::Silent { node: node.id }, is_refused: false }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::AtomicUsize;

    use millpond_core::Observation;

    use super::*;
    use crate::testing::{Down, Servers, says, server};
    use crate::{Cluster, Config, NodeConfig};

    /// How often a server is asked in ten seconds, while callers wait for it all the time.
    async fn probes_of(error: fn() -> Down) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let probe = {
            let count = Arc::clone(&count);
            move |_| -> crate::testing::Connecting {
                count.fetch_add(1, Ordering::Relaxed);
                Box::pin(ready(Err(error())))
            }
        };
        let servers = Servers::new(|_| Box::pin(pending())).with_probes(probe);
        let node = NodeConfig::new("a".into(), 1);
        let config = Config { catalog_interval: None, ..Config::default() };
        let cluster = Cluster::start(servers, vec![node], config).unwrap();
        let ends = Instant::now() + Duration::from_secs(10);
        while Instant::now() < ends {
            cluster.shared.nudge_all();
            sleep(Duration::from_millis(5)).await;
        }
        count.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_is_asked_less_often_than_one_that_is_not_there() {
        let (refused, gone) = (probes_of(|| Down::Starting).await, probes_of(|| Down::Gone).await);
        assert!((380..=500).contains(&gone), "one each 20 ms or so: {gone}");
        // 20 to 400 ms each, half of that in the middle.
        assert!((25..=120).contains(&refused), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_with_two_names_counts_twice_and_a_primary_once() {
        let servers = Servers::new(|_| Box::pin(pending()));
        let nodes = ["a", "b", "c"].map(|name| NodeConfig::new(name.into(), 1)).to_vec();
        let config = Config { catalog_interval: None, ..Config::default() };
        let cluster = Cluster::start(servers, nodes, config).unwrap();
        let answers = |name: &str, role, number| {
            says(&cluster, name, Observation { server: Some(server(number)), ..Observation::of(role) });
        };
        let names = || {
            ["a", "b", "c"].map(|name| {
                let node = cluster.shared.named(name).unwrap();
                names_of_replica(&cluster.shared.view.load(), node)
            })
        };
        answers("a", Role::Primary, 1);
        answers("b", Role::Replica, 2);
        answers("c", Role::Replica, 2);
        assert_eq!(names(), [1, 2, 2]);
        answers("c", Role::Primary, 1);
        assert_eq!(names(), [1, 1, 1]);
    }
}
