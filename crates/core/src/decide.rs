use std::fmt;
use std::time::{Duration, Instant};

use crate::{
    Access, ClusterId, Health, Membership, NodeId, NodeSet, NodeView, Plan, Position, Role, Snapshot,
    Timeline, Token, TokenPosition,
};

/// What a caller asks for, beside the statement itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// Any replica that answers, however old; none that is known to be on another timeline than the primary's: what it shows may never have
    /// been, or be discarded.
    Any,
    /// At most this old.
    Within(Duration),
    /// At most this old, and at most so far behind where the primary was when it was last asked.
    Behind {
        /// How old.
        time: Duration,
        /// How far, in bytes or transactions, as the backend counts.
        distance: u64,
    },
    /// As new as can be: the primary.
    Latest,
}

impl Freshness {
    /// How old a replica may be, and how far behind, where that counts.
    const fn limits(self) -> Option<(Duration, u64)> {
        match self {
            Self::Within(time) => Some((time, u64::MAX)),
            Self::Behind { time, distance } => Some((time, distance)),
            Self::Any | Self::Latest => None,
        }
    }
}

/// What a caller has written, and must see.
///
/// A replica shows it when it has reached the token, or when it shows all that was acknowledged before the time at
/// which the caller got its answer. Either is enough, so a write whose position is not known can still be waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<P> {
    token: Option<Token<P>>,
    /// When the last of it was acknowledged.
    acknowledged: Option<Instant>,
    /// When the position of the token was asked for: what this process had acknowledged before lies at or before it.
    asked: Option<Instant>,
}

impl<P> Default for Seen<P> {
    fn default() -> Self {
        Self { token: None, acknowledged: None, asked: None }
    }
}

impl<P: Position> Seen<P> {
    /// A write of this process, acknowledged at `at`. A write whose place is not known, or that may or may not have
    /// run, has a token that asks for [everything](TokenPosition::Everything), or none.
    #[must_use]
    pub const fn written(token: Option<Token<P>>, at: Instant) -> Self {
        Self { token, acknowledged: Some(at), asked: None }
    }

    /// A write of this process, acknowledged at `at`, behind which the primary was asked how far it is. The question was sent at
    /// `asked` or later.
    #[must_use]
    pub const fn written_up_to(token: Token<P>, asked: Instant, at: Instant) -> Self {
        Self { token: Some(token), acknowledged: Some(at), asked: Some(asked) }
    }

    /// What another process wrote, by a token that came here at `at`: what it speaks of had been acknowledged by then.
    #[must_use]
    pub const fn told(token: Token<P>, at: Instant) -> Self {
        Self::written(Some(token), at)
    }

    /// Whether there is nothing to see.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.token.is_none() && self.acknowledged.is_none()
    }

    /// Adds what `other` has seen. Of two clusters' tokens the first stays; callers check that before.
    pub fn merge(&mut self, other: &Self) {
        if other.is_nothing() {
            return;
        }
        if self.is_nothing() {
            self.clone_from(other);
            return;
        }
        let (token, asked) = match (&self.token, &other.token) {
            (Some(_), Some(theirs)) if other.lies_behind(self) => (Some(theirs.clone()), other.asked),
            (Some(mine), Some(_)) if self.lies_behind(other) => (Some(mine.clone()), self.asked),
            (Some(mine), Some(theirs)) => {
                let merged = mine.merge(theirs).unwrap_or_else(|_| mine.clone());
                // What was asked for on one timeline says nothing of what was acknowledged on another.
                let asked = self.asked.zip(other.asked).filter(|_| mine.timeline() == theirs.timeline());
                (Some(merged), asked.map(|(a, b)| a.max(b)))
            }
            // Without a token on both sides, a position alone no longer shows it either.
            (Some(one), None) | (None, Some(one)) => {
                (Some(Token::new(one.cluster(), one.timeline(), TokenPosition::Everything)), None)
            }
            (None, None) => (None, None),
        };
        // Without a time on both sides, time alone no longer shows that a replica has both.
        let acknowledged = self.acknowledged.zip(other.acknowledged).map(|(a, b)| a.max(b));
        *self = Self { token, acknowledged, asked };
    }

    /// Whether its position lies behind all of what `earlier` asks for: it was asked for when that had been acknowledged. So a write
    /// whose place is not known needs no time any more once another was made behind it.
    fn lies_behind(&self, earlier: &Self) -> bool {
        let is_of_one_line = |mine: &Token<P>, theirs: &Token<P>| {
            mine.cluster() == theirs.cluster()
                && mine.timeline() == theirs.timeline()
                && matches!(mine.position(), TokenPosition::UpTo(_))
        };
        self.asked.zip(earlier.acknowledged).is_some_and(|(asked, acknowledged)| asked >= acknowledged)
            && self.token.as_ref().zip(earlier.token.as_ref()).is_some_and(|(a, b)| is_of_one_line(a, b))
    }

    /// The token of it, for another process; `None` when nothing was written or no token could be made.
    #[must_use]
    pub const fn token(&self) -> Option<&Token<P>> {
        self.token.as_ref()
    }

    /// Why nobody known can show it, if nobody can: it is of another cluster than the one that is known, or of a later timeline.
    #[must_use]
    pub fn beyond(&self, cluster: Option<ClusterId>, timeline: Option<Timeline>) -> Option<Reason> {
        let token = self.token.as_ref().filter(|token| *token.position() != TokenPosition::Nothing)?;
        if timeline.is_some_and(|timeline| token.timeline() > timeline) {
            return Some(Reason::LaterTimeline);
        }
        cluster.filter(|cluster| token.cluster() != *cluster).map(|_| Reason::OtherCluster)
    }

    /// The position that shows it, to a node on this timeline; `None` when no position does.
    #[must_use]
    pub fn position_on(&self, timeline: Option<Timeline>) -> Option<&P> {
        let token = self.token.as_ref().filter(|token| Some(token.timeline()) == timeline)?;
        match token.position() {
            TokenPosition::UpTo(position) => Some(position),
            TokenPosition::Nothing | TokenPosition::Everything => None,
        }
    }

    /// Whether the node certainly shows it.
    #[must_use]
    pub fn is_shown_by(&self, node: &NodeView<P>) -> bool {
        self.is_nothing() || self.is_shown_by_time(node) || self.is_shown_by_position(node)
    }

    fn is_shown_by_time(&self, node: &NodeView<P>) -> bool {
        self.acknowledged.zip(node.as_of).is_some_and(|(at, as_of)| as_of >= at)
    }

    fn is_shown_by_position(&self, node: &NodeView<P>) -> bool {
        self.token.as_ref().is_some_and(|token| match token.position() {
            TokenPosition::Nothing => true,
            // It may lie on any timeline: whoever made the token may have known of none but this.
            TokenPosition::Everything => false,
            // Of what a token from before a failover asks for, that failover discarded the rest.
            _ if node.timeline > Some(token.timeline()) => node.is_past_fork,
            TokenPosition::UpTo(wanted) => {
                let reached = |position: &Option<P>| position.as_ref().is_some_and(|at| at.covers(wanted));
                node.timeline == Some(token.timeline()) && (reached(&node.position) || reached(&node.proven))
            }
        })
    }
}

/// What a caller has read last, where later reads must not show less.
///
/// The node that served it goes on from there, and a replica that shows all that the primary had then shows it too: no replica had more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct LastRead {
    /// The replica that served it, if it is sure to show as much again.
    pub node: Option<NodeId>,
    /// When it was answered.
    pub answered: Instant,
}

impl LastRead {
    /// Whether the node certainly shows as much.
    #[must_use]
    pub fn is_shown_by<P: Position>(&self, node: &NodeView<P>) -> bool {
        // Behind a name of many servers the next connection may lead to another one.
        (self.node == Some(node.id) && !node.hides_many)
            || node.as_of.is_some_and(|as_of| as_of >= self.answered)
    }
}

/// One statement's question to [`decide`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a, P> {
    /// What the statement does.
    pub access: Access,
    /// How fresh its answer must be.
    pub freshness: Freshness,
    /// What its answer must show.
    pub seen: &'a Seen<P>,
    /// What its answer must not show less of than.
    pub last_read: Option<LastRead>,
    /// A seed for the choice among equals.
    pub seed: u64,
    /// Whether the caller can ask a replica, right before the statement, how far it has come.
    pub may_prove: bool,
    /// Replicas that the caller can have wait, right before the statement, until they have come so far. They are asked although
    /// they could not prove it lately, where nobody else may serve it.
    pub may_wait: NodeSet,
}

impl<'a, P> Request<'a, P> {
    /// A question about a statement with this access.
    #[must_use]
    pub const fn new(access: Access, freshness: Freshness, seen: &'a Seen<P>, seed: u64) -> Self {
        Self { access, freshness, seen, last_read: None, seed, may_prove: false, may_wait: NodeSet::EMPTY }
    }

    /// The same question of a caller whose reads never show less than the last one did.
    #[must_use]
    pub const fn behind(mut self, last_read: Option<LastRead>) -> Self {
        self.last_read = last_read;
        self
    }

    /// The same question of a caller that can ask a replica, right before the statement, how far it has come.
    #[must_use]
    pub const fn proving(mut self, may_prove: bool) -> Self {
        self.may_prove = may_prove;
        self
    }

    /// The same question of a caller that can have these replicas wait, right before the statement, until they have come so far.
    #[must_use]
    pub const fn waiting(mut self, may_wait: NodeSet) -> Self {
        self.may_wait = may_wait;
        self
    }
}

/// Where a statement may run, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decision {
    /// The nodes to try, in order.
    pub plan: Plan,
    /// Those of them that have to prove, right before the statement, that they show what the caller must see: what is known of them is
    /// older than that.
    pub to_prove: NodeSet,
    /// Why these.
    pub reason: Reason,
}

/// Why a statement goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A read, and a replica is fresh enough.
    FreshReplica,
    /// A read, and a replica is fresh enough, that may have the caller's last write: it is asked with the statement.
    ProvingReplica,
    /// The statement is not a plain read.
    NotARead(Access),
    /// The caller asked for the primary.
    AskedForPrimary,
    /// The cluster has no other node.
    OnlyNode,
    /// A read, but there is no replica.
    NoReplica,
    /// A read, but every replica is drained.
    ReplicasDrained,
    /// A read, but no replica answers.
    ReplicasDown,
    /// A read, but no replica is known to be on the primary's timeline.
    OtherTimeline,
    /// A read, but no replica is known to be fresh enough.
    TooOld,
    /// A read, but no replica is known to have the caller's last write.
    OwnWrite,
    /// A read, but no replica is known to show as much as the caller's last read did.
    LastRead,
    /// The caller's token is of a later timeline than any that is known: a primary was promoted that this process has
    /// not found yet, or the token is forged.
    LaterTimeline,
    /// The caller's token is of another cluster, which was not known when it came.
    OtherCluster,
    /// A replica refused the statement's text before, so it is taken for a write.
    RefusedBefore,
    /// An operator sends it to the primary, by its digest or a table that it reads.
    SwitchedToPrimary,
    /// Everything goes to the primary by the switch for incidents.
    PrimaryOnlyMode,
    /// Everything goes to the primary while decisions are only recorded.
    ShadowMode,
}

impl Reason {
    /// Whether a read goes to the primary only since no replica may serve it.
    #[must_use]
    pub const fn is_fallback(self) -> bool {
        matches!(
            self,
            Self::OnlyNode
                | Self::NoReplica
                | Self::ReplicasDrained
                | Self::ReplicasDown
                | Self::OtherTimeline
                | Self::TooOld
                | Self::OwnWrite
                | Self::LastRead
        )
    }

    /// Whether it keeps a read from replicas that answer and go on, so that one of them may serve it soon.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::OtherTimeline | Self::TooOld | Self::OwnWrite | Self::LastRead)
    }

    /// The word that metrics and events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FreshReplica => "fresh_replica",
            Self::ProvingReplica => "proving_replica",
            Self::NotARead(_) => "not_a_read",
            Self::AskedForPrimary => "asked_for_primary",
            Self::OnlyNode => "only_node",
            Self::NoReplica => "no_replica",
            Self::ReplicasDrained => "replicas_drained",
            Self::ReplicasDown => "replicas_down",
            Self::OtherTimeline => "other_timeline",
            Self::TooOld => "too_old",
            Self::OwnWrite => "own_write",
            Self::LastRead => "last_read",
            Self::LaterTimeline => "later_timeline",
            Self::OtherCluster => "other_cluster",
            Self::RefusedBefore => "refused_before",
            Self::SwitchedToPrimary => "switched_to_primary",
            Self::PrimaryOnlyMode => "primary_only_mode",
            Self::ShadowMode => "shadow_mode",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FreshReplica => "a replica is fresh enough",
            Self::ProvingReplica => "a replica is fresh enough and is asked for the caller's last write",
            Self::NotARead(Access::Unknown) => "the text does not show a plain read",
            Self::NotARead(Access::Definition) => "it changes the schema or the server",
            Self::NotARead(_) => "it writes",
            Self::AskedForPrimary => "the caller asked for the primary",
            Self::OnlyNode => "the cluster has no other node",
            Self::NoReplica => "no node is a replica of the primary's cluster",
            Self::ReplicasDrained => "every replica is drained",
            Self::ReplicasDown => "no replica answers",
            Self::OtherTimeline => "no replica is known to be on the primary's timeline",
            Self::TooOld => "no replica is known to be fresh enough",
            Self::OwnWrite => "no replica is known to have the caller's last write",
            Self::LastRead => "no replica is known to show as much as the caller's last read",
            Self::LaterTimeline => "the token is of a later timeline than any that is known",
            Self::OtherCluster => "the token is of another cluster",
            Self::RefusedBefore => "a replica refused this statement before",
            Self::SwitchedToPrimary => {
                "an operator sends the statement, or a table that it may read, to the primary"
            }
            Self::PrimaryOnlyMode => "the mode is PrimaryOnly",
            Self::ShadowMode => "the mode is Shadow",
        })
    }
}

/// Decides where a statement may run.
///
/// A read may run on every replica that answers, is on the primary's timeline, is fresh enough, and shows what the
/// caller must see; the primary is the fallback. Everything else runs on the primary. What is not known counts
/// against a replica, never for it; where any age will do, it may be of an unknown timeline, and of no other than the primary's.
#[must_use]
#[inline(always)]
pub fn decide<P: Position>(request: &Request<'_, P>, snapshot: &Snapshot<P>, now: Instant) -> Decision {
    let on_primary = |reason| Decision {
        plan: Plan::new(NodeSet::EMPTY, snapshot.primary, request.seed),
        to_prove: NodeSet::EMPTY,
        reason,
    };
    if let Some(reason) = request.seen.beyond(snapshot.cluster, snapshot.timeline) {
        let nobody = Plan::new(NodeSet::EMPTY, None, request.seed);
        return Decision { plan: nobody, to_prove: NodeSet::EMPTY, reason };
    }
    if !request.access.is_read() {
        return on_primary(Reason::NotARead(request.access));
    }
    if request.freshness == Freshness::Latest {
        return on_primary(Reason::AskedForPrimary);
    }
    if let Some(plan) = plan_for_all(request, snapshot, now) {
        return Decision { plan, to_prove: NodeSet::EMPTY, reason: Reason::FreshReplica };
    }
    let Standing { shows, may_show } = Standing::of(request, snapshot, now);
    let resting = snapshot.replicas.resting(may_show, request.seen.position_on(snapshot.timeline), now);
    let mut to_prove = may_show.difference(resting);
    if shows.is_empty() && to_prove.is_empty() {
        to_prove = resting.intersection(request.may_wait);
    }
    let reason = match (shows.is_empty(), to_prove.is_empty()) {
        (false, _) => Reason::FreshReplica,
        (true, false) => Reason::ProvingReplica,
        (true, true) => return on_primary(nearest_obstacle(request, snapshot, now).into()),
    };
    // Together: only those that were asked lately would get all reads otherwise.
    let eligible = shows.union(to_prove);
    let last = request.last_read.and_then(|last| last.node).filter(|node| eligible.contains(*node));
    let preferred = last.map_or(snapshot.replicas.near, |last| [last].into_iter().collect());
    let plan = Plan::new(eligible, snapshot.primary, request.seed)
        .preferring(preferred)
        .avoiding(snapshot.replicas.avoided(now, request.seed));
    Decision { plan, to_prove, reason }
}

/// The plan for a read that every replica which answers may serve as it is: the usual case, found without a look at each. Where it is not
/// so, or it is no such read, there is none, and [`decide`] tells where it may run.
#[must_use]
#[inline(always)]
pub fn plan_for_all<P: Position>(
    request: &Request<'_, P>,
    snapshot: &Snapshot<P>,
    now: Instant,
) -> Option<Plan> {
    let eligible = all_replicas(request, snapshot, now)?;
    let plan = Plan::new(eligible, snapshot.primary, request.seed)
        .preferring(snapshot.replicas.near)
        .avoiding(snapshot.replicas.avoided(now, request.seed));
    Some(plan)
}

#[inline(always)]
fn all_replicas<P: Position>(
    request: &Request<'_, P>,
    snapshot: &Snapshot<P>,
    now: Instant,
) -> Option<NodeSet> {
    let replicas = &snapshot.replicas;
    let Freshness::Within(limit) = request.freshness else { return None };
    if !request.access.is_read() || request.last_read.is_some() {
        return None;
    }
    let as_of = replicas.as_of?;
    // A sum and a comparison take less than a difference.
    let is_fresh = as_of.checked_add(limit).is_none_or(|until| now <= until);
    let is_shown = || {
        let seen = request.seen;
        let shows = |wanted| replicas.reached.as_ref().is_some_and(|reached| reached.covers(wanted));
        let is_shown_by_all = || {
            seen.acknowledged.is_some_and(|at| as_of >= at)
                || seen.position_on(snapshot.timeline).is_some_and(shows)
        };
        let is_beyond = || seen.beyond(snapshot.cluster, snapshot.timeline).is_some();
        seen.is_nothing() || (is_shown_by_all() && !is_beyond())
    };
    let is_all = !replicas.up.is_empty() && replicas.up == replicas.on_timeline && is_fresh && is_shown();
    is_all.then_some(replicas.up)
}

/// How the replicas that answer stand to a read: mostly by sets of them, and by a look at each of only those that no set tells of.
struct Standing {
    /// They certainly show what the read must.
    shows: NodeSet,
    /// They may have come far enough since they were asked last, and can be asked again with the statement.
    may_show: NodeSet,
}

impl Standing {
    fn of<P: Position>(request: &Request<'_, P>, snapshot: &Snapshot<P>, now: Instant) -> Self {
        let (replicas, seen) = (&snapshot.replicas, request.seen);
        let node = |id: NodeId| &snapshot.nodes[id.index()];
        let mut fit = replicas.up.difference(replicas.strayed);
        if let Some((time, distance)) = request.freshness.limits() {
            let is_near = |id: &NodeId| node(*id).behind.is_some_and(|behind| behind <= distance);
            fit = fit.intersection(replicas.as_of_since(now.checked_sub(time)));
            fit = fit.intersection(replicas.on_timeline);
            if distance < u64::MAX {
                fit = fit.iter().filter(is_near).collect();
            }
        }
        if let Some(last) = request.last_read {
            fit = fit.iter().filter(|id| last.is_shown_by(node(*id))).collect();
        }
        if seen.is_nothing() {
            return Self { shows: fit, may_show: NodeSet::EMPTY };
        }
        let by_time = seen.acknowledged.map_or(NodeSet::EMPTY, |at| replicas.as_of_since(Some(at)));
        let mut shows = fit.intersection(by_time);
        let wanted = seen.position_on(snapshot.timeline);
        let is_reached = |wanted| replicas.furthest.as_ref().is_some_and(|far| far.covers(wanted));
        let mut others = fit.difference(shows);
        // A token of another timeline is shown by being past its end.
        if !wanted.is_none_or(is_reached) {
            others = others.difference(replicas.on_timeline);
        }
        let by_position = others.iter().filter(|id| seen.is_shown_by_position(node(*id)));
        shows = shows.union(by_position.collect());
        let can_prove = request.may_prove && wanted.is_some();
        let may_show = fit.difference(shows).intersection(replicas.on_timeline);
        Self { shows, may_show: if can_prove { may_show } else { NodeSet::EMPTY } }
    }
}

/// What keeps a read from a node. Ordered by how near the node came: the nearest is the reason that is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    OnlyNode,
    NoReplica,
    Drained,
    Down,
    OtherTimeline,
    TooOld,
    LastRead,
    OwnWrite,
}

impl From<Obstacle> for Reason {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::OnlyNode => Self::OnlyNode,
            Obstacle::NoReplica => Self::NoReplica,
            Obstacle::Drained => Self::ReplicasDrained,
            Obstacle::Down => Self::ReplicasDown,
            Obstacle::OtherTimeline => Self::OtherTimeline,
            Obstacle::TooOld => Self::TooOld,
            Obstacle::LastRead => Self::LastRead,
            Obstacle::OwnWrite => Self::OwnWrite,
        }
    }
}

/// Why no replica may serve the read: what keeps it from the one that comes nearest.
fn nearest_obstacle<P: Position>(request: &Request<'_, P>, snapshot: &Snapshot<P>, now: Instant) -> Obstacle {
    let obstacles = snapshot.members().filter_map(|node| obstacle(node, request, snapshot, now));
    obstacles.max().unwrap_or(Obstacle::OnlyNode)
}

fn obstacle<P: Position>(
    node: &NodeView<P>,
    request: &Request<'_, P>,
    snapshot: &Snapshot<P>,
    now: Instant,
) -> Option<Obstacle> {
    let may_be_replica = node.role != Some(Role::Primary) && node.same_cluster;
    if node.role != Some(Role::Replica) && snapshot.is_lone() {
        return Some(Obstacle::OnlyNode);
    }
    if !may_be_replica {
        return Some(Obstacle::NoReplica);
    }
    if node.membership == Membership::Drained {
        return Some(Obstacle::Drained);
    }
    if node.health != Health::Up || node.role.is_none() {
        return Some(Obstacle::Down);
    }
    let limits = request.freshness.limits();
    let is_elsewhere = limits.is_some() && node.timeline != snapshot.timeline;
    if is_elsewhere || node.has_strayed(snapshot.timeline, snapshot.primary.is_some()) {
        return Some(Obstacle::OtherTimeline);
    }
    if let Some((time, distance)) = limits {
        let is_near = distance == u64::MAX || node.behind.is_some_and(|behind| behind <= distance);
        if !node.lag(now).is_within(time) || !is_near {
            return Some(Obstacle::TooOld);
        }
    }
    if request.last_read.is_some_and(|last| !last.is_shown_by(node)) {
        return Some(Obstacle::LastRead);
    }
    (!request.seen.is_shown_by(node)).then_some(Obstacle::OwnWrite)
}

#[cfg(test)]
mod tests;
