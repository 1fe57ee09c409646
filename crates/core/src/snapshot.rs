use std::fmt;
use std::time::{Duration, Instant};

use crate::balance::eased;
use crate::{ClusterId, Epoch, NodeId, NodeSet, Position, Role, SLOW_START, ServerId, Timeline};

/// What is known of the cluster at one moment. Immutable: a change makes a new one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot<P> {
    /// Counts the changes of the primary.
    pub epoch: Epoch,
    /// The cluster, once a primary named it.
    pub cluster: Option<ClusterId>,
    /// The timeline of the primary last adopted; no write goes to a lower one.
    pub timeline: Option<Timeline>,
    /// The node that writes go to, when there is one and it answers.
    pub primary: Option<NodeId>,
    /// Every node that is or was configured, by [`NodeId::index`].
    pub nodes: Vec<NodeView<P>>,
    pub(crate) replicas: Replicas<P>,
}

/// What decisions ask most of the replicas, asked once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Replicas<P> {
    /// Those that answer.
    pub(crate) up: NodeSet,
    /// All nodes that are where this process is.
    pub(crate) near: NodeSet,
    /// When those that answer began to.
    pub(crate) starts: Vec<(Instant, NodeId)>,
    /// Until when one of them gets less than its share for that.
    pub(crate) eased_until: Option<Instant>,
    /// Those that are slow beside the others, at most half of them: the rest must not drown for it.
    pub(crate) slow: NodeSet,
    /// Those of them that are on the primary's timeline.
    pub(crate) on_timeline: NodeSet,
    /// All of those show at least what was acknowledged before; `None` when that is not known of one.
    pub(crate) as_of: Option<Instant>,
    /// All of those have come so far; `None` when no such position is known.
    pub(crate) reached: Option<P>,
    /// None of those has come further.
    pub(crate) furthest: Option<P>,
    /// Those that are known to show what is no part of the primary's history.
    pub(crate) strayed: NodeSet,
    /// From the oldest on: as of when each shows the data, and all that do as of then or later.
    by_age: Vec<(Instant, NodeSet)>,
    /// Those that could not show lately what they had to, and until when nobody asks them for as much.
    resting: Vec<(NodeId, Instant, P)>,
}

impl<P: Position> Replicas<P> {
    /// Of these nodes.
    pub(crate) fn of(nodes: &[NodeView<P>], timeline: Option<Timeline>, has_primary: bool) -> Self {
        let up = |node: &&NodeView<P>| {
            let serves = node.membership == Membership::Member && node.health == Health::Up;
            node.role == Some(Role::Replica) && node.same_cluster && serves
        };
        let starts: Vec<_> =
            nodes.iter().filter(up).filter_map(|node| node.serves_since.zip(Some(node.id))).collect();
        let on_timeline: Vec<_> = nodes.iter().filter(up).filter(|node| node.timeline == timeline).collect();
        let those = |is: &dyn Fn(&NodeView<P>) -> bool| {
            nodes.iter().filter(up).filter(|node| is(node)).map(|node| node.id).collect()
        };
        Self {
            up: those(&|_| true),
            near: nodes.iter().filter(|node| node.is_near).map(|node| node.id).collect(),
            slow: slow_half(nodes.iter().filter(up)),
            eased_until: starts.iter().map(|(since, _)| *since + SLOW_START).max(),
            starts,
            on_timeline: those(&|node| node.timeline == timeline),
            as_of: on_timeline.iter().map(|node| node.as_of).min().flatten(),
            reached: on_timeline.iter().map(|node| node.reached()).reduce(least).flatten(),
            furthest: on_timeline.iter().filter_map(|node| node.reached()).reduce(|a, b| a.merge(&b)),
            strayed: those(&|node| node.has_strayed(timeline, has_primary)),
            by_age: by_age(nodes.iter().filter(up)),
            resting: nodes
                .iter()
                .filter(up)
                .filter_map(|node| node.resting.clone().map(|(until, wanted)| (node.id, until, wanted)))
                .collect(),
        }
    }
}

impl<P> Replicas<P> {
    /// Those that show at least what was acknowledged before that time; without one, those of which it is known at all as of when they do.
    pub(crate) fn as_of_since(&self, time: Option<Instant>) -> NodeSet {
        let older = time.map_or(0, |time| self.by_age.partition_point(|(as_of, _)| *as_of < time));
        self.by_age.get(older).map_or(NodeSet::EMPTY, |(_, those)| *those)
    }

    /// Those of them that are not asked for so much now.
    pub(crate) fn resting(&self, of: NodeSet, wanted: Option<&P>, now: Instant) -> NodeSet
    where
        P: Position,
    {
        let rests = |(node, until, lacked): &&(NodeId, Instant, P)| {
            *until > now && of.contains(*node) && wanted.is_some_and(|wanted| wanted.covers(lacked))
        };
        self.resting.iter().filter(rests).map(|(node, ..)| *node).collect()
    }

    /// Those that come behind the others in this choice: the slow ones, and mostly those that have just begun.
    pub(crate) fn avoided(&self, now: Instant, seed: u64) -> NodeSet {
        match self.eased_until {
            Some(until) if now < until => self.slow.union(eased(&self.starts, now, seed)),
            _ => self.slow,
        }
    }
}

/// From the oldest on: as of when each shows the data, where that is known, and all that do as of then or later.
fn by_age<'n, P: 'n>(nodes: impl Iterator<Item = &'n NodeView<P>>) -> Vec<(Instant, NodeSet)> {
    let mut ages: Vec<_> = nodes.filter_map(|node| node.as_of.zip(Some(node.id))).collect();
    ages.sort_unstable();
    let mut those = NodeSet::EMPTY;
    let mut by_age: Vec<_> = ages
        .into_iter()
        .rev()
        .map(|(as_of, node)| {
            those.insert(node);
            (as_of, those)
        })
        .collect();
    by_age.reverse();
    by_age
}

/// Those that are slow, half of all at most: those that have been so for longest.
fn slow_half<'n, P: 'n>(nodes: impl Iterator<Item = &'n NodeView<P>>) -> NodeSet {
    let (mut slow, mut all) = (Vec::new(), 0);
    for node in nodes {
        all += 1;
        slow.extend(node.slow_since.map(|since| (since, node.id)));
    }
    slow.sort_unstable();
    slow.into_iter().take(all / 2).map(|(_, id)| id).collect()
}

/// That of two which the other covers. Sets of transactions may be so that neither covers the other.
fn least<P: Position>(a: Option<P>, b: Option<P>) -> Option<P> {
    let (a, b) = a.zip(b)?;
    match (a.covers(&b), b.covers(&a)) {
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    }
}

impl<P: Position> Snapshot<P> {
    /// What is known of one node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&NodeView<P>> {
        self.nodes.get(node.index())
    }

    /// What is known of a node that is configured now.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&NodeView<P>> {
        self.node(node).filter(|view| view.membership != Membership::Gone)
    }

    /// Whether only one node is configured now.
    #[must_use]
    pub fn is_lone(&self) -> bool {
        self.members().nth(1).is_none()
    }

    /// The nodes that are configured now.
    pub fn members(&self) -> impl Iterator<Item = &NodeView<P>> {
        self.nodes.iter().filter(|node| node.membership != Membership::Gone)
    }
}

/// What is known of one node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeView<P> {
    /// Which node.
    pub id: NodeId,
    /// Whether it is configured, and for what.
    pub membership: Membership,
    /// Whether it is where this process is: reads go there first.
    pub is_near: bool,
    /// What it said it is, last time it was asked.
    pub role: Option<Role>,
    /// Whether it answers.
    pub health: Health,
    /// Whether writes go to it.
    pub takes_writes: bool,
    /// Whether it belongs to this cluster, as far as it said.
    pub same_cluster: bool,
    /// The timeline it is on.
    pub timeline: Option<Timeline>,
    /// How far it had come when it was last asked.
    pub position: Option<P>,
    /// How far it had come when it last proved that it shows a caller's writes, if that is later. Says nothing of its age.
    pub proven: Option<P>,
    /// Until when it is not asked to show so much or more, since it could not when it was asked last.
    pub resting: Option<(Instant, P)>,
    /// When it was last asked and answered.
    pub observed: Option<Instant>,
    /// It certainly shows all that was acknowledged before this time.
    pub as_of: Option<Instant>,
    /// It may have shown all that was acknowledged before this time when it was asked, and nothing later.
    pub as_of_at_best: Option<Instant>,
    /// How far its position is behind the primary's last known one.
    pub behind: Option<u64>,
    /// Whether it has come to where the primary was seen on its timeline, so past where that began: it shows all that earlier failovers left.
    pub is_past_fork: bool,
    /// Since when it answers its monitor slowly beside the others, if it does: reads go elsewhere first.
    pub slow_since: Option<Instant>,
    /// Whether it is a replica that is, for some time now, of an unknown age or an older one than [`Topology::with_max_lag`] says.
    ///
    /// [`Topology::with_max_lag`]: crate::Topology::with_max_lag
    pub is_lagging: bool,
    /// The server that answered last, as far as it said.
    pub server: Option<ServerId>,
    /// Whether connections to it lead to several servers: of none of them anything is known then but that it is there.
    pub hides_many: bool,
    /// Since when it serves again, or was added: for [a while](crate::SLOW_START) it gets less than its share.
    pub serves_since: Option<Instant>,
}

impl<P> NodeView<P> {
    /// Whether it is known to show what is no part of the primary's history, as what a failover discarded. On a later timeline it may be the first
    /// that follows a new primary, as long as there is no other.
    pub(crate) fn has_strayed(&self, timeline: Option<Timeline>, has_primary: bool) -> bool {
        let is_other = |(own, primarys)| own < primarys || (has_primary && own != primarys);
        self.timeline.zip(timeline).is_some_and(is_other)
    }
}

impl<P: Position> NodeView<P> {
    /// How far it is known to have come.
    fn reached(&self) -> Option<P> {
        match (&self.position, &self.proven) {
            (Some(position), Some(proven)) => Some(position.merge(proven)),
            (one, other) => one.as_ref().or(other.as_ref()).cloned(),
        }
    }

    /// How far the node is behind.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Lag {
        match self.as_of {
            _ if self.takes_writes => {
                let (time, distance) = (Duration::ZERO, Some(0));
                Lag::Known { time, distance, observed_ago: Duration::ZERO, uncertainty: Duration::ZERO }
            }
            // One that says that it takes writes, and gets none, goes its own way; so does one of another cluster.
            _ if self.role == Some(Role::Primary) || !self.same_cluster => Lag::Unknown,
            Some(as_of) => {
                let ago = |at: Instant| now.saturating_duration_since(at);
                let at_best = self.as_of_at_best.unwrap_or(as_of);
                Lag::Known {
                    time: ago(as_of),
                    distance: self.behind,
                    observed_ago: self.observed.map_or(Duration::ZERO, ago),
                    uncertainty: at_best.saturating_duration_since(as_of),
                }
            }
            None => Lag::Unknown,
        }
    }
}

/// Whether a node is one of those that are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Membership {
    /// It is.
    Member,
    /// It is, and gets no reads; writes go to it as long as it is the primary.
    Drained,
    /// It was taken out, or never was.
    Gone,
}

/// Whether a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// Not asked yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not answer.
    Down,
}

impl Health {
    /// The lower-case word that events and `Display` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a node is behind the primary. Never a zero that stands for "not known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "known or not")]
pub enum Lag {
    /// Not known; never fresh.
    Unknown,
    /// At most this far.
    Known {
        /// At most this old. The time since the primary was last asked is in it.
        time: Duration,
        /// Bytes or transactions behind the primary's last known position, as the backend counts; `None` where its age is told by something
        /// else and its position is not known.
        distance: Option<u64>,
        /// How long ago the node was asked: since then it may have caught up, and what it has not is in `time`. Zero for the primary.
        observed_ago: Duration,
        /// How much less than `time`, without `observed_ago`, it may have been when it was asked: the primary's position is known as of its
        /// probes, and not in between.
        uncertainty: Duration,
    },
}

impl Lag {
    /// The time behind, when it is known.
    #[must_use]
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::Known { time, .. } => Some(time),
            Self::Unknown => None,
        }
    }

    /// Whether it is known to be at most `limit` old.
    #[must_use]
    pub fn is_within(self, limit: Duration) -> bool {
        matches!(self, Self::Known { time, .. } if time <= limit)
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.pad("unknown"),
            Self::Known { time, .. } => f.pad(&format!("{} ms", time.as_millis())),
        }
    }
}
