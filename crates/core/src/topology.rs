mod election;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::snapshot::Replicas;
use crate::{
    ClusterId, Epoch, Health, MAX_NODES, Membership, NodeId, NodeView, Position, PrimaryHistory, Role,
    Snapshot, Timeline,
};

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
    },
    /// A node was taken out of the configured ones.
    Left {
        /// Which node.
        node: NodeId,
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
        /// What it said.
        observation: Observation<P>,
    },
    /// A node refused a connection or cut one: nobody is there.
    Unreachable {
        /// Which node.
        node: NodeId,
    },
    /// A node took longer to answer a probe than it may.
    Silent {
        /// Which node.
        node: NodeId,
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
    /// Writes go to another node from here on.
    PrimaryChanged(NodeId, Epoch),
    /// No node takes writes.
    PrimaryLost(NodeId),
    /// A node says that it takes writes although another does; it gets none.
    SecondPrimary(NodeId),
    /// Several nodes take writes and nothing tells which is right; none gets any.
    AmbiguousPrimary,
    /// A node belongs to another cluster; it gets nothing.
    OtherCluster(NodeId, ClusterId),
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
    epoch: Epoch,
    cluster: Option<ClusterId>,
    /// The timeline of the writer last adopted.
    timeline: Option<Timeline>,
    /// The highest timeline that an adopted writer was on, or that a replica follows: no lower one is written to. What
    /// only says that it takes writes, and that nothing follows, does not count: a restored copy does that.
    highest: Option<Timeline>,
    history: PrimaryHistory<P>,
    actions: VecDeque<Action>,
}

#[derive(Clone, Debug)]
struct Node<P> {
    id: NodeId,
    membership: Membership,
    is_near: bool,
    health: Health,
    latest: Option<(Instant, Observation<P>)>,
    /// How far it said that it has come since.
    proven: Option<P>,
    /// How it was behind, if it was when it was last asked to prove something.
    behind: Option<Behind>,
    /// Probes in a row without an answer in time.
    silences: u32,
    /// Whether it was seen following a primary of this cluster: only such a node may take over from a live one.
    has_followed: bool,
    /// Whether the present claim to be a second primary was told.
    claim_told: bool,
}

/// A replica that was asked in vain.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// When it last said so.
    since: Instant,
    /// How long it is not asked again.
    pause: Duration,
}

impl<P> Node<P> {
    const fn new(id: NodeId, membership: Membership) -> Self {
        let health = match membership {
            Membership::Member | Membership::Drained => Health::Unknown,
            // So that nobody waits for what it says.
            Membership::Gone => Health::Down,
        };
        Self {
            id,
            membership,
            is_near: false,
            health,
            latest: None,
            proven: None,
            behind: None,
            silences: 0,
            has_followed: false,
            claim_told: false,
        }
    }

    fn is_there(&self) -> bool {
        self.membership != Membership::Gone
    }
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
            epoch: Epoch::default(),
            cluster: None,
            timeline: None,
            highest: None,
            history: PrimaryHistory::new(Self::HISTORY),
            actions: VecDeque::new(),
        };
        for node in (0..nodes.min(MAX_NODES)).filter_map(NodeId::new) {
            topology.joined(node, false);
        }
        topology
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input<P>) {
        match input {
            Input::Joined { node, is_near } => return self.joined(node, is_near),
            Input::Left { node } => self.left(node),
            Input::Drained { node, is_drained } => return self.drained(node, is_drained),
            Input::Answered { node, asked, observation } => self.answered(node, asked, observation),
            Input::Unreachable { node } => self.down(node),
            Input::Silent { node } => {
                let Some(state) = self.node_mut(node) else { return };
                state.silences += 1;
                if state.silences >= Self::SILENCES_UNTIL_DOWN || state.health == Health::Unknown {
                    self.down(node);
                }
            }
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
        let view = |node: &Node<P>| {
            let observation = node.latest.as_ref().map(|(_, observation)| observation);
            let position = observation.and_then(|seen| seen.position.clone());
            // A position says something about age only on the timeline that the history was taken on.
            let comparable =
                position.as_ref().filter(|_| observation.and_then(|seen| seen.timeline) == self.timeline);
            NodeView {
                id: node.id,
                membership: node.membership,
                is_near: node.is_near,
                role: observation.map(|seen| seen.role),
                health: node.health,
                same_cluster: match observation.and_then(|seen| seen.cluster) {
                    Some(named) => Some(named) == self.cluster.or(first),
                    None => true,
                },
                timeline: observation.and_then(|seen| seen.timeline),
                as_of: comparable.and_then(|position| self.history.as_of(position)),
                behind: comparable.zip(end).map(|(position, end)| end.distance(position)),
                observed: node.latest.as_ref().map(|(asked, _)| *asked),
                proven: node.proven.clone(),
                behind_until: node.behind.map(|behind| behind.since + behind.pause),
                position,
            }
        };
        let nodes: Vec<_> = self.nodes.iter().map(view).collect();
        Snapshot {
            replicas: Replicas::of(&nodes, self.timeline),
            epoch: self.epoch,
            cluster: self.cluster,
            timeline: self.timeline,
            primary: self.writer.filter(|writer| self.is_writable(*writer)),
            nodes,
        }
    }

    fn joined(&mut self, id: NodeId, is_near: bool) {
        while let Some(absent) = NodeId::new(self.nodes.len()).filter(|next| *next <= id) {
            self.nodes.push(Node::new(absent, Membership::Gone));
        }
        let node = &mut self.nodes[id.index()];
        if node.membership == Membership::Gone {
            *node = Node { is_near, ..Node::new(id, Membership::Member) };
        }
    }

    fn left(&mut self, id: NodeId) {
        let Some(node) = self.node_mut(id) else { return };
        *node = Node::new(id, Membership::Gone);
        if self.writer == Some(id) {
            self.writer = None;
            self.is_settled = false;
            self.actions.push_back(Action::Tell(Event::PrimaryLost(id)));
        }
    }

    fn drained(&mut self, id: NodeId, is_drained: bool) {
        let Some(node) = self.node_mut(id) else { return };
        node.membership = if is_drained { Membership::Drained } else { Membership::Member };
    }

    fn answered(&mut self, id: NodeId, asked: Instant, observation: Observation<P>) {
        let cluster = self.cluster;
        let Some(node) = self.nodes.get_mut(id.index()).filter(|node| node.is_there()) else { return };
        if node.latest.as_ref().is_some_and(|(latest, _)| *latest > asked) {
            return;
        }
        node.silences = 0;
        if node.health != Health::Up {
            node.health = Health::Up;
            self.actions.push_back(Action::Tell(Event::NodeUp(id)));
        }
        let before = node.latest.as_ref().map(|(_, before)| (before.role, before.cluster));
        if before.is_some_and(|(role, _)| role != observation.role) {
            self.actions.push_back(Action::Evict(id));
            self.actions.push_back(Action::Tell(Event::RoleChanged(id, observation.role)));
        }
        let foreign = observation.cluster.filter(|id| cluster.is_some_and(|cluster| *id != cluster));
        if let Some(foreign) = foreign.filter(|foreign| before.is_none_or(|(_, told)| told != Some(*foreign)))
        {
            self.actions.push_back(Action::Tell(Event::OtherCluster(id, foreign)));
        }
        if observation.role == Role::Replica {
            node.has_followed = foreign.is_none();
            node.claim_told = false;
            // Before a primary was adopted nobody knows who is a stranger.
            if foreign.is_none() && self.epoch != Epoch::default() {
                self.highest = self.highest.max(observation.timeline);
            }
        }
        if self.writer == Some(id)
            && observation.role == Role::Primary
            && observation.timeline == self.timeline
        {
            if let Some(position) = &observation.position {
                self.history.record(asked, position.clone());
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
        let pause = match node.behind {
            // One of those that were asked at the same time.
            Some(before) if asked < before.since => return,
            Some(before) => (2 * before.pause).min(Self::LONGEST_PAUSE),
            None => Self::FIRST_PAUSE,
        };
        node.behind = Some(Behind { since: answered, pause });
    }

    fn down(&mut self, id: NodeId) {
        let Some(node) = self.node_mut(id) else { return };
        if node.health == Health::Down {
            return;
        }
        node.health = Health::Down;
        self.actions.push_back(Action::Tell(Event::NodeDown(id)));
        if self.writer == Some(id) {
            self.actions.push_back(Action::Tell(Event::PrimaryLost(id)));
        }
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node<P>> {
        self.nodes.get_mut(id.index()).filter(|node| node.is_there())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cluster {
        topology: Topology<u64>,
        start: Instant,
        clock: u64,
        told: Vec<Event>,
    }

    fn id(index: usize) -> NodeId {
        NodeId::new(index).unwrap()
    }

    impl Cluster {
        fn new(nodes: usize) -> Self {
            Self { topology: Topology::new(nodes), start: Instant::now(), clock: 0, told: Vec::new() }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.clock)
        }

        fn handle(&mut self, input: Input<u64>) {
            self.topology.handle(input);
            while let Some(action) = self.topology.poll_action() {
                if let Action::Tell(event) = action {
                    self.told.push(event);
                }
            }
        }

        fn answers(&mut self, node: usize, role: Role, timeline: u32, position: u64) {
            self.clock += 100;
            let observation = Observation {
                role,
                cluster: Some(ClusterId::new(7)),
                timeline: Some(Timeline::new(timeline)),
                position: Some(position),
            };
            self.handle(Input::Answered { node: id(node), asked: self.now(), observation });
        }

        fn primary(&self) -> Option<usize> {
            self.topology.snapshot().primary.map(NodeId::index)
        }
    }

    /// A primary and two replicas, all caught up.
    fn three() -> Cluster {
        let mut cluster = Cluster::new(3);
        cluster.answers(0, Role::Primary, 1, 100);
        cluster.answers(1, Role::Replica, 1, 100);
        cluster.answers(2, Role::Replica, 1, 100);
        cluster.told.clear();
        cluster
    }

    #[test]
    fn a_promoted_replica_takes_over_from_a_dead_primary() {
        let mut cluster = three();
        cluster.handle(Input::Unreachable { node: id(0) });
        assert_eq!(cluster.primary(), None);
        cluster.answers(1, Role::Primary, 2, 120);
        assert_eq!(cluster.primary(), Some(1));
        assert!(cluster.told.contains(&Event::PrimaryChanged(id(1), Epoch::default().next().next())));
    }

    #[test]
    fn the_old_primary_gets_no_write_when_it_comes_back_as_a_second_one() {
        let mut cluster = three();
        cluster.handle(Input::Unreachable { node: id(0) });
        cluster.answers(1, Role::Primary, 2, 120);
        cluster.answers(0, Role::Primary, 1, 500);
        assert_eq!(cluster.primary(), Some(1));
        cluster.handle(Input::Unreachable { node: id(1) });
        assert_eq!(cluster.primary(), None);
    }

    #[test]
    fn a_promoted_replica_takes_over_from_a_primary_that_still_answers() {
        let mut cluster = three();
        cluster.answers(2, Role::Primary, 2, 120);
        cluster.answers(0, Role::Primary, 1, 130);
        assert_eq!(cluster.primary(), Some(2));
    }

    #[test]
    fn a_restored_copy_moves_nothing_and_is_told_once() {
        let mut cluster = Cluster::new(2);
        cluster.answers(0, Role::Primary, 1, 100);
        cluster.handle(Input::Unreachable { node: id(1) });
        for _ in 0..3 {
            cluster.answers(1, Role::Primary, 2, 100);
        }
        assert_eq!(cluster.primary(), Some(0));
        cluster.handle(Input::Unreachable { node: id(0) });
        assert_eq!(cluster.primary(), None);
        let told = cluster.told.iter().filter(|event| **event == Event::SecondPrimary(id(1))).count();
        assert_eq!(told, 1);
    }

    #[test]
    fn of_two_primaries_that_nothing_tells_apart_none_is_written_to() {
        let mut cluster = Cluster::new(2);
        cluster.answers(0, Role::Primary, 1, 100);
        assert_eq!(cluster.primary(), None, "the other may be one too");
        cluster.answers(1, Role::Primary, 1, 100);
        assert_eq!(cluster.primary(), None);
        assert_eq!(cluster.told.last(), Some(&Event::AmbiguousPrimary));
        cluster.handle(Input::Unreachable { node: id(0) });
        assert_eq!(cluster.primary(), Some(1));
    }

    #[test]
    fn of_two_primaries_at_the_start_the_higher_timeline_is_written_to() {
        let mut cluster = Cluster::new(2);
        cluster.answers(0, Role::Primary, 1, 900);
        cluster.answers(1, Role::Primary, 2, 100);
        assert_eq!(cluster.primary(), Some(1));
    }

    #[test]
    fn a_node_that_is_down_at_the_start_does_not_hold_up_the_others() {
        let mut cluster = Cluster::new(2);
        cluster.answers(0, Role::Primary, 1, 100);
        cluster.handle(Input::Silent { node: id(1) });
        assert_eq!(cluster.primary(), Some(0));
    }

    #[test]
    fn a_timeline_that_a_replica_follows_stops_writes_to_a_lower_one() {
        let mut cluster = three();
        // The new primary, node 1, cannot be reached from here.
        cluster.handle(Input::Unreachable { node: id(1) });
        cluster.answers(2, Role::Replica, 2, 120);
        cluster.answers(0, Role::Primary, 1, 130);
        assert_eq!(cluster.primary(), None);
        cluster.answers(1, Role::Primary, 2, 140);
        assert_eq!(cluster.primary(), Some(1));
    }

    #[test]
    fn a_primary_that_a_replica_follows_takes_over_though_it_was_never_seen_following() {
        let mut cluster = Cluster::new(3);
        cluster.answers(0, Role::Primary, 1, 100);
        cluster.handle(Input::Unreachable { node: id(1) });
        cluster.answers(2, Role::Replica, 1, 100);
        assert_eq!(cluster.primary(), Some(0));
        cluster.answers(1, Role::Primary, 2, 120);
        assert_eq!(cluster.primary(), Some(0), "nothing follows it yet");
        cluster.answers(2, Role::Replica, 2, 120);
        cluster.answers(0, Role::Primary, 1, 130);
        assert_eq!(cluster.primary(), Some(1));
    }

    #[test]
    fn a_demoted_primary_is_written_to_no_more() {
        let mut cluster = three();
        cluster.answers(0, Role::Replica, 1, 100);
        assert_eq!(cluster.primary(), None);
        assert!(cluster.told.contains(&Event::PrimaryLost(id(0))));
    }

    #[test]
    fn a_node_of_another_cluster_is_refused_by_name() {
        let mut cluster = three();
        let observation = Observation {
            role: Role::Replica,
            cluster: Some(ClusterId::new(8)),
            timeline: Some(Timeline::new(1)),
            position: Some(100),
        };
        let asked = cluster.now() + Duration::from_secs(1);
        cluster.handle(Input::Answered { node: id(2), asked, observation });
        assert!(cluster.told.contains(&Event::OtherCluster(id(2), ClusterId::new(8))));
        assert!(!cluster.topology.snapshot().nodes[2].same_cluster);
    }

    #[test]
    fn one_silence_is_a_hiccup_and_two_are_an_outage() {
        let mut cluster = three();
        cluster.handle(Input::Silent { node: id(0) });
        assert_eq!(cluster.primary(), Some(0));
        cluster.handle(Input::Silent { node: id(0) });
        assert_eq!(cluster.primary(), None);
        cluster.answers(0, Role::Primary, 1, 100);
        assert_eq!(cluster.primary(), Some(0));
        assert_eq!(cluster.topology.snapshot().epoch.get(), 1, "it is the same primary");
    }

    #[test]
    fn a_replica_left_on_the_old_timeline_has_no_known_age() {
        let mut cluster = three();
        cluster.answers(1, Role::Primary, 2, 120);
        cluster.answers(2, Role::Replica, 1, 10_000);
        assert_eq!(cluster.topology.snapshot().nodes[2].as_of, None);
        cluster.answers(2, Role::Replica, 2, 10_000);
        assert!(cluster.topology.snapshot().nodes[2].as_of.is_some());
    }
}
