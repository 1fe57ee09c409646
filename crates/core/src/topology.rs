mod condition;
mod election;
mod node;
mod servers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::snapshot::Replicas;
use crate::{
    ClusterId, Epoch, Health, MAX_NODES, Membership, NodeId, NodeView, Position, PrimaryHistory, Role,
    ServerId, Snapshot, Timeline,
};
pub use election::Refusal;
use node::{Behind, Node};
use servers::Outdated;

/// What a node answered when it was asked who it is.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "backends build it; a new question is a change for all of them"
)]
pub struct Observation<P> {
    /// What it says it is.
    pub role: Role,
    /// The cluster it belongs to, where the caller may know.
    pub cluster: Option<ClusterId>,
    /// The timeline it is on, where the caller may know.
    pub timeline: Option<Timeline>,
    /// How far it has come: what a primary has written, what a replica shows.
    pub position: Option<P>,
    /// The server that answered, where the backend can tell servers behind one name apart.
    pub server: Option<ServerId>,
    /// By what the age of its data is told.
    pub age: Age,
}

impl<P> Observation<P> {
    /// One of which nothing but the role is known.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        Self { role, cluster: None, timeline: None, position: None, server: None, age: Age::ByPosition }
    }
}

/// By what the age of a node's data is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "backends choose one")]
pub enum Age {
    /// By its position, beside where the primary was and when.
    ByPosition,
    /// By a mark, as of a heartbeat table: a number that is raised on the primary from time to time.
    ByMark(u64),
    /// By what the node or something else says: it is at most this old when it is asked.
    AtMost(Duration),
    /// By nothing: it is not known.
    Unknown,
}

/// What happened, told to a [`Topology`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input<P> {
    /// A node was added to the configured ones.
    Joined {
        /// Which node: one that was never there, or that has left.
        node: NodeId,
        /// Whether it is where this process is.
        is_near: bool,
        /// Whether it is a name that stands for whichever server takes writes, so that it decides, and nothing else. At most one is.
        is_endpoint: bool,
    },
    /// A node was taken out of the configured ones.
    Left {
        /// Which node.
        node: NodeId,
    },
    /// A node is where this process is, or not.
    Placed {
        /// Which node.
        node: NodeId,
        /// Whether it is.
        is_near: bool,
    },
    /// A node gets no more reads, or gets some again.
    Drained {
        /// Which node.
        node: NodeId,
        /// Whether it gets none.
        is_drained: bool,
    },
    /// A node answered a probe that was sent at `asked`.
    Answered {
        /// Which node.
        node: NodeId,
        /// When the question was sent.
        asked: Instant,
        /// How long the answer took.
        took: Duration,
        /// What it said.
        observation: Observation<P>,
    },
    /// A node refused a connection or cut one: nobody is there.
    Unreachable {
        /// Which node.
        node: NodeId,
    },
    /// A node lets no monitor in, having no connection left for it, say. It is there, and what it said last stands and ages.
    TurnedAway {
        /// Which node.
        node: NodeId,
    },
    /// A node took longer to answer a probe than it may.
    Silent {
        /// Which node.
        node: NodeId,
    },
    /// A connection to a node, begun at `at`, led to another server than its last answer came from. The next answer comes over a new connection.
    Elsewhere {
        /// Which node.
        node: NodeId,
        /// Where it led.
        server: ServerId,
        /// When it was begun.
        at: Instant,
    },
    /// A replica said, before a read, that it has come so far.
    Proved {
        /// Which node.
        node: NodeId,
        /// How far.
        position: P,
        /// When the question was sent.
        asked: Instant,
    },
    /// A replica could not show what a read had to show.
    Behind {
        /// Which node.
        node: NodeId,
        /// How far it had not come.
        wanted: P,
        /// When the question was sent.
        asked: Instant,
        /// When it was answered.
        answered: Instant,
    },
}

/// What the shell has to do for a [`Topology`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Close the pooled connections of a node: its role is another than the one they were opened for.
    Evict(NodeId),
    /// Close those for writes: they may lead to another server than the one that is known now.
    EvictWrites(NodeId),
    /// Ask a node over a new connection, at once: the server that answered by its name answers by another one now.
    AskAnew(NodeId),
    /// Tell whoever listens.
    Tell(Event),
}

/// What changed in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node answers (again).
    NodeUp(NodeId),
    /// A node does not answer.
    NodeDown(NodeId),
    /// A node is what it was not before.
    RoleChanged(NodeId, Role),
    /// Writes go to this node from here on: to another than before, or, in the same epoch, to one that was lost and is back.
    PrimaryChanged(NodeId, Epoch),
    /// No node takes writes.
    PrimaryLost(NodeId),
    /// No node takes writes, and none did since the start.
    NoPrimary,
    /// The last primary was seen so much further than where this one, which writes go to from here on, begins: what lies between is discarded.
    Discarded(NodeId, u64),
    /// A node says that it takes writes; it gets none.
    SecondPrimary(NodeId, Refusal),
    /// What was told of a node, as a second primary or as one of another cluster, is so no more.
    NotRefused(NodeId, Refusal),
    /// Several nodes take writes and nothing tells which is right; none gets any.
    AmbiguousPrimary,
    /// A node belongs to another cluster; it gets nothing.
    OtherCluster(NodeId, ClusterId),
    /// A node answers slowly beside the others, or no longer does: reads go elsewhere first.
    Slow(NodeId, bool),
    /// A replica is older than it may be for most, or no longer is.
    Lagging(NodeId, bool),
    /// Connections to a node lead to several servers, or no longer do: while they do, nothing is known of its age.
    ManyServers(NodeId, bool),
}

/// The state of a cluster, as a value.
///
/// Feed it with [`handle`](Topology::handle); after each call drain [`poll_action`](Topology::poll_action) and publish
/// [`snapshot`](Topology::snapshot).
#[derive(Clone, Debug)]
pub struct Topology<P> {
    nodes: Vec<Node<P>>,
    /// The node last adopted to write to, whether or not it answers just now.
    writer: Option<NodeId>,
    /// Whether one of the nodes was adopted once: the next one must have followed it then. Before, and when that one was taken out, the nodes
    /// there are decide.
    is_settled: bool,
    /// Whether the present state of several writers was told.
    ambiguity_told: bool,
    /// Whether it was told that the writer last adopted takes no writes, and not that it does again.
    is_lost: bool,
    epoch: Epoch,
    cluster: Option<ClusterId>,
    /// The timeline of the writer last adopted.
    timeline: Option<Timeline>,
    /// The server that it was.
    writer_server: Option<ServerId>,
    /// The highest timeline that an adopted writer was on, or that a replica follows: no lower one is written to. What
    /// only says that it takes writes, and that nothing follows, does not count: a restored copy does that.
    highest: Option<Timeline>,
    history: PrimaryHistory<P>,
    /// The same by marks, where they tell the age.
    marks: PrimaryHistory<u64>,
    /// From when on a replica lags.
    max_lag: Duration,
    actions: VecDeque<Action>,
}

impl<P: Position> Topology<P> {
    /// How long a replica is not asked again for a caller's write that it did not have. As long as replay takes mostly. It doubles each time
    /// it is in vain, so that one which is far behind costs little.
    pub const FIRST_PAUSE: Duration = Duration::from_millis(1);

    /// The longest it gets.
    pub const LONGEST_PAUSE: Duration = Duration::from_millis(250);

    /// Probes in a row without an answer in time until a node counts as down. One may be a hiccup of this process.
    pub const SILENCES_UNTIL_DOWN: u32 = 2;

    /// How far back lag can be told.
    pub const HISTORY: Duration = Duration::from_secs(60);

    /// A cluster of so many nodes, of which nothing is known yet. Nodes beyond [`MAX_NODES`] are left out; callers
    /// refuse them before.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        let mut topology = Self {
            nodes: Vec::new(),
            writer: None,
            is_settled: false,
            ambiguity_told: false,
            is_lost: false,
            epoch: Epoch::default(),
            cluster: None,
            timeline: None,
            writer_server: None,
            highest: None,
            history: PrimaryHistory::new(Self::HISTORY),
            marks: PrimaryHistory::new(Self::HISTORY),
            max_lag: Duration::from_secs(1),
            actions: VecDeque::new(),
        };
        for node in (0..nodes.min(MAX_NODES)).filter_map(NodeId::new) {
            topology.joined(node, false, false);
        }
        topology
    }

    /// The same, where a replica lags from so much on. It says so, and changes nothing else: each read says how old its answer may be.
    /// Default 1 s.
    #[must_use]
    pub const fn with_max_lag(mut self, max_lag: Duration) -> Self {
        self.max_lag = max_lag;
        self
    }

    /// The same for one that is in use: what is known of nodes is held against it with their next answers.
    pub const fn set_max_lag(&mut self, max_lag: Duration) {
        self.max_lag = max_lag;
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input<P>) {
        match input {
            Input::Joined { node, is_near, is_endpoint } => return self.joined(node, is_near, is_endpoint),
            Input::Left { node } => self.left(node),
            Input::Placed { node, is_near } => {
                if let Some(node) = self.node_mut(node) {
                    node.is_near = is_near;
                }
                return;
            }
            Input::Drained { node, is_drained } => return self.drained(node, is_drained),
            Input::Answered { node, asked, took, observation } => {
                let (before, server) = (self.server_of(node), observation.server);
                self.answered(node, asked, took, observation);
                if let Some(server) = server.filter(|server| before.is_some_and(|before| before != *server)) {
                    self.ask_namesakes_anew(node, server);
                }
                self.elect();
                return self.look_at_condition(node, asked + took);
            }
            Input::Unreachable { node } => self.down(node),
            Input::TurnedAway { node } => {
                // One that never answered is of no use.
                if self.node_mut(node).is_some_and(|node| node.health != Health::Up) {
                    self.down(node);
                }
            }
            Input::Silent { node } => {
                let Some(state) = self.node_mut(node) else { return };
                state.silences += 1;
                if state.silences >= Self::SILENCES_UNTIL_DOWN || state.health == Health::Unknown {
                    self.down(node);
                }
            }
            Input::Elsewhere { node, server, at } => return self.elsewhere(node, server, at),
            Input::Proved { node, position, asked } => return self.proved(node, position, asked),
            Input::Behind { node, wanted, asked, answered } => {
                return self.behind(node, &wanted, asked, answered);
            }
        }
        self.elect();
    }

    /// The next thing to do; call until `None` after each [`handle`](Topology::handle).
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the node is one of those that are configured.
    #[must_use]
    pub fn is_member(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(Node::is_there)
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<P> {
        let end = self.history.latest().map(|(_, position)| position);
        let first = self.first_cluster();
        let primary = self.writer.filter(|writer| self.is_writable(*writer));
        let view = |node: &Node<P>| {
            let observation = node.latest.as_ref().map(|(_, observation)| observation);
            // Of a name with many servers nobody knows which one the next connection leads to.
            let known = observation.filter(|_| !node.hides_many());
            let position = known.and_then(|seen| seen.position.clone());
            let timeline = known.and_then(|seen| seen.timeline);
            // A position says something about age only on the timeline that the history was taken on.
            let comparable = position.as_ref().filter(|_| timeline == self.timeline);
            NodeView {
                id: node.id,
                membership: node.membership,
                is_near: node.is_near,
                role: observation.map(|seen| seen.role),
                health: node.health,
                takes_writes: primary == Some(node.id),
                same_cluster: match observation.and_then(|seen| seen.cluster) {
                    Some(named) => Some(named) == self.cluster.or(first),
                    None => true,
                },
                timeline,
                as_of: self.as_of(node),
                as_of_at_best: self.as_of_at_best(node),
                behind: comparable.zip(end).map(|(position, end)| end.distance(position)),
                is_past_fork: comparable.is_some_and(|position| self.history.as_of(position).is_some()),
                observed: node.latest.as_ref().map(|(asked, _)| *asked),
                proven: node.proven.clone().filter(|_| !node.hides_many()),
                slow_since: node.slow.since(),
                is_lagging: node.lagging.since().is_some(),
                server: observation.and_then(|seen| seen.server),
                hides_many: node.hides_many(),
                serves_since: node.serves_since,
                resting: node
                    .behind
                    .as_ref()
                    .map(|behind| (behind.since + behind.pause, behind.wanted.clone())),
                position,
            }
        };
        let nodes: Vec<_> = self.nodes.iter().map(view).collect();
        Snapshot {
            replicas: Replicas::of(&nodes, self.timeline, primary.is_some()),
            epoch: self.epoch,
            cluster: self.cluster,
            timeline: self.timeline,
            primary,
            nodes,
        }
    }

    /// The node may have shown what was acknowledged before, when it was asked, and nothing later.
    fn as_of_at_best(&self, node: &Node<P>) -> Option<Instant> {
        let as_of = self.as_of(node)?;
        let (asked, seen) = node.latest.as_ref()?;
        let next = match seen.age {
            Age::ByPosition => self.history.next_behind(as_of),
            Age::ByMark(_) => self.marks.next_behind(as_of),
            Age::AtMost(_) | Age::Unknown => None,
        };
        Some(next.map_or(*asked, |next| next.min(*asked)))
    }

    /// The node shows what was acknowledged before, as far as is known.
    fn as_of(&self, node: &Node<P>) -> Option<Instant> {
        let (asked, seen) = node.latest.as_ref().filter(|_| !node.hides_many())?;
        // Beyond a fork a number is another place.
        let is_comparable = seen.timeline == self.timeline;
        match seen.age {
            Age::ByPosition => {
                seen.position.as_ref().filter(|_| is_comparable).and_then(|at| self.history.as_of(at))
            }
            Age::ByMark(mark) => {
                Some(mark).filter(|_| is_comparable).and_then(|at| self.marks.as_of_mark(&at))
            }
            Age::AtMost(age) => asked.checked_sub(age).filter(|_| is_comparable),
            Age::Unknown => None,
        }
    }

    fn joined(&mut self, id: NodeId, is_near: bool, is_endpoint: bool) {
        while let Some(absent) = NodeId::new(self.nodes.len()).filter(|next| *next <= id) {
            self.nodes.push(Node::new(absent, Membership::Gone));
        }
        let node = &mut self.nodes[id.index()];
        if node.membership == Membership::Gone {
            *node = Node { is_near, is_endpoint, ..Node::new(id, Membership::Member) };
        }
    }

    fn left(&mut self, id: NodeId) {
        let Some(node) = self.node_mut(id) else { return };
        *node = Node::new(id, Membership::Gone);
        if self.writer == Some(id) {
            self.tell_lost(id);
            self.writer = None;
            self.is_settled = false;
        }
    }

    fn drained(&mut self, id: NodeId, is_drained: bool) {
        let Some(node) = self.node_mut(id) else { return };
        node.membership = if is_drained { Membership::Drained } else { Membership::Member };
    }

    fn answered(&mut self, id: NodeId, asked: Instant, took: Duration, observation: Observation<P>) {
        let (cluster, endpoint, is_settled) = (self.cluster, self.endpoint(), self.is_settled);
        let has_gone_back = self.has_gone_back(id, &observation);
        let Some(node) = self.nodes.get_mut(id.index()).filter(|node| node.is_there()) else { return };
        if node.latest.as_ref().is_some_and(|(latest, _)| *latest > asked) {
            return;
        }
        node.silences = 0;
        node.took(took);
        if node.health != Health::Up {
            // Those that are there at the start are new to us only.
            node.serves_since = Some(asked).filter(|_| is_settled || node.health == Health::Down);
            node.health = Health::Up;
            self.actions.push_back(Action::Tell(Event::NodeUp(id)));
        }
        let before = node.latest.as_ref().map(|(_, before)| (before.role, before.cluster));
        let is_other_role = before.is_some_and(|(role, _)| role != observation.role);
        let outdated = node.is_answered_by(observation.server, asked, &mut self.actions);
        match outdated {
            Outdated::Nothing if !is_other_role => {}
            Outdated::Writes if !is_other_role => self.actions.push_back(Action::EvictWrites(id)),
            _ => self.actions.push_back(Action::Evict(id)),
        }
        if is_other_role {
            self.actions.push_back(Action::Tell(Event::RoleChanged(id, observation.role)));
        }
        let foreign = observation.cluster.filter(|id| cluster.is_some_and(|cluster| *id != cluster));
        if let Some(foreign) = foreign.filter(|foreign| before.is_none_or(|(_, told)| told != Some(*foreign)))
        {
            self.actions.push_back(Action::Tell(Event::OtherCluster(id, foreign)));
        }
        if observation.role == Role::Replica {
            node.has_followed = foreign.is_none();
            // Before a primary was adopted nobody knows who is a stranger. Where a name decides, that which somebody follows does not.
            if foreign.is_none() && self.epoch != Epoch::default() && endpoint.is_none() {
                self.highest = self.highest.max(observation.timeline);
            }
        }
        if self.writer == Some(id)
            && observation.role == Role::Primary
            && observation.timeline == self.timeline
            && !has_gone_back
        {
            if let Some(position) = &observation.position {
                self.history.record(asked, position.clone());
            }
            if let Age::ByMark(mark) = observation.age {
                self.marks.record(asked, mark);
            }
        }
        // It may have crashed meanwhile, and begun again further back, or on another timeline.
        node.proven = None;
        node.latest = Some((asked, observation));
    }

    fn proved(&mut self, id: NodeId, position: P, asked: Instant) {
        let Some(node) = self.node_mut(id) else { return };
        // Its monitor has asked it since: between the two it may have crashed, and begun again further back.
        if node.latest.as_ref().is_some_and(|(latest, _)| *latest > asked) {
            return;
        }
        node.proven = Some(match node.proven.take() {
            Some(before) => before.merge(&position),
            None => position,
        });
        node.behind = None;
    }

    fn behind(&mut self, id: NodeId, wanted: &P, asked: Instant, answered: Instant) {
        let Some(node) = self.node_mut(id) else { return };
        // It had come so far once: it crashed and began again further back, and nobody knows where.
        node.proven.take_if(|proven| proven.covers(wanted));
        if let Some((_, seen)) = node.latest.as_mut().filter(|(observed, _)| *observed <= asked) {
            seen.position.take_if(|position| position.covers(wanted));
        }
        let before = node.behind.take();
        // Who asks for less than all that it could not show lately may ask: a token that somebody made up must not keep others from it.
        let least = |before: P| if wanted.covers(&before) { before } else { wanted.clone() };
        node.behind = Some(match before {
            // One of those that were asked at the same time, which may have waited longer.
            Some(Behind { wanted, since, pause }) if asked < since => {
                Behind { wanted: least(wanted), since: answered.max(since), pause }
            }
            Some(Behind { wanted: before, since, pause }) => Behind {
                wanted: if answered < since + pause { least(before) } else { wanted.clone() },
                since: answered,
                pause: (2 * pause).min(Self::LONGEST_PAUSE),
            },
            None => Behind { wanted: wanted.clone(), since: answered, pause: Self::FIRST_PAUSE },
        });
    }

    fn down(&mut self, id: NodeId) {
        let Some(node) = self.node_mut(id) else { return };
        if node.health == Health::Down {
            return;
        }
        node.health = Health::Down;
        (node.serves_since, node.pace) = (None, None);
        self.actions.push_back(Action::Tell(Event::NodeDown(id)));
        if self.writer == Some(id) {
            self.tell_lost(id);
        }
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node<P>> {
        self.nodes.get_mut(id.index()).filter(|node| node.is_there())
    }
}

#[cfg(test)]
mod tests;
