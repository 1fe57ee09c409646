use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use millpond_core::{
    Access, Decision, Epoch, Freshness, Health, LastRead, Membership, NodeSet, NodeView, Reason, Request,
    Role, Seen, ServerId, Snapshot, Token, TokenPosition, decide,
};
use millpond_sql::{Analysis, Catalog, Classification};
use tokio::time::Instant;

use crate::catalog::SearchPath;
use crate::cluster::Shared;
use crate::definition::may_define;
use crate::latency::Tick;
use crate::line::{Line, Shown};
use crate::members::View;
use crate::node::now;
use crate::shards::Shard;
use crate::written::{Changes, Written};
use crate::{Backend, Cluster, Error, ErrorKind, Mode, NodeKey, Outcome, Report, Statement};

/// What a caller holds: a cluster, and how fresh its reads must be. Cheap to clone.
pub struct Handle<B: Backend> {
    cluster: Cluster<B>,
    asked: Asked,
    pub(crate) sees: Sees<B::Position>,
    /// Whether a session's reads are those of a plain handle.
    shows_process: bool,
    /// How long a call may take in all.
    timeout: Option<Duration>,
    /// When all calls have to be over.
    deadline: Option<Instant>,
    /// How long a read waits for a replica that may serve it.
    pub(crate) wait: Duration,
    /// Whether reads go to no primary.
    pub(crate) is_replicas_only: bool,
    /// Whether a session's reads never show less than one before did.
    is_monotonic: bool,
    /// Says where statements ran.
    pub(crate) report: Option<Report>,
    search_path: SearchPath,
}

/// How fresh reads must be.
#[derive(Clone, Copy)]
enum Asked {
    /// As fresh as [`max_lag`](crate::Config::max_lag) says when they run, and so far behind at most.
    Usual { distance: Option<u64> },
    /// As fresh as the caller said.
    This(Freshness),
}

/// Whose writes reads must show.
pub(crate) enum Sees<P> {
    /// Nobody's.
    Nothing,
    /// This process's.
    Process,
    /// This session's.
    Session(Arc<Line<P>>),
}

/// What is asked of [`Handle::decide`].
#[derive(Clone, Copy)]
pub(crate) struct Ask<'s> {
    pub(crate) access: Access,
    /// The text, if there is one.
    pub(crate) text: Option<&'s str>,
    /// Whether an operator sends it to the primary.
    pub(crate) is_switched: bool,
    /// What it must not show less of than.
    pub(crate) last_read: Option<LastRead>,
    /// Replicas that can be asked to wait for what it must show.
    pub(crate) may_wait: NodeSet,
    /// For the choice among equals.
    pub(crate) seed: u64,
    pub(crate) now: std::time::Instant,
}

/// What is decided of a statement.
pub(crate) struct Decided<P> {
    pub(crate) decision: Decision,
    /// In [`Mode::Shadow`], why it would go where [`Mode::Route`] would send it.
    pub(crate) shadow: Option<Reason>,
    /// What replicas can be asked for that have to show the caller's writes.
    pub(crate) wanted: Wanted<P>,
    /// What it has to show, if that is less than what its handle's reads show.
    pub(crate) seen: Option<Box<Seen<P>>>,
    /// Whether a replica could serve it, but for work that is out of which nobody knows what it writes.
    pub(crate) is_for_unseen: bool,
}

/// What a read has to show of the caller's writes, as a replica can be asked for it.
pub(crate) enum Wanted<P> {
    /// Nothing was written.
    Nothing,
    /// All up to here.
    Position(P),
    /// What lies at no known place.
    Unknown,
}

impl<P> Clone for Sees<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Process => Self::Process,
            Self::Session(line) => Self::Session(Arc::clone(line)),
        }
    }
}

impl<B: Backend> Clone for Handle<B> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            asked: self.asked,
            sees: self.sees.clone(),
            shows_process: self.shows_process,
            timeout: self.timeout,
            deadline: self.deadline,
            wait: self.wait,
            is_replicas_only: self.is_replicas_only,
            is_monotonic: self.is_monotonic,
            report: self.report.clone(),
            search_path: self.search_path,
        }
    }
}

impl<B: Backend> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("freshness", &self.freshness()).finish_non_exhaustive()
    }
}

impl<B: Backend> Handle<B> {
    pub(crate) const fn new(cluster: Cluster<B>, sees: Sees<B::Position>) -> Self {
        Self {
            cluster,
            asked: Asked::Usual { distance: None },
            sees,
            shows_process: false,
            timeout: None,
            deadline: None,
            wait: Duration::ZERO,
            is_replicas_only: false,
            is_monotonic: false,
            report: None,
            search_path: SearchPath::Usual,
        }
    }

    /// The cluster behind it.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster<B> {
        &self.cluster
    }

    /// How fresh its reads must be.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        match self.asked {
            Asked::This(freshness) => freshness,
            Asked::Usual { distance: None } => Freshness::Within(self.shared().limits.max_lag()),
            Asked::Usual { distance: Some(distance) } => {
                Freshness::Behind { time: self.shared().limits.max_lag(), distance }
            }
        }
    }

    /// A handle of no session in a task that [is in](Self::scope) one of its cluster: that session, as the handle otherwise is.
    pub(crate) fn in_current(&self) -> Option<Self> {
        if self.is_session() {
            return None;
        }
        self.current().map(|session| Self {
            sees: session.sees,
            shows_process: matches!(self.sees, Sees::Process),
            is_monotonic: session.is_monotonic,
            timeout: self.timeout.or(session.timeout),
            deadline: self.deadline.or(session.deadline),
            ..self.clone()
        })
    }

    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cluster.shared, &other.cluster.shared)
    }

    /// The same handle for reads of another freshness. A session's still show its own writes; a plain handle's do
    /// not any more.
    #[must_use]
    pub fn with_freshness(&self, freshness: Freshness) -> Self {
        self.asking(Asked::This(freshness))
    }

    fn asking(&self, asked: Asked) -> Self {
        let sees = match &self.sees {
            Sees::Session(line) => Sees::Session(Arc::clone(line)),
            Sees::Process | Sees::Nothing => Sees::Nothing,
        };
        Self { asked, sees, shows_process: false, ..self.clone() }
    }

    /// The same handle for statements that run with a search path of their own: a name without a schema may mean what any schema has
    /// of that name.
    #[must_use]
    pub fn with_any_search_path(&self) -> Self {
        Self { search_path: SearchPath::Any, ..self.clone() }
    }

    /// The same handle with a limit for how long a call may take in all, the wait for a connection included. What was sent and is not
    /// answered by then is given up: see [`ErrorKind::Timeout`].
    #[must_use]
    pub fn with_timeout(&self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self.clone() }
    }

    /// The same handle with a time at which all calls have to be over, as those of a request that has one.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// This handle as it acts in the task that runs now: as the session that the task [is in](Self::scope), if it is none itself. For what notes at its
    /// end, perhaps in another task, what it has written.
    #[must_use]
    pub fn here(&self) -> Self {
        self.in_current().unwrap_or_else(|| self.clone())
    }

    /// The same handle for reads that may be so far behind where the primary was when it was last asked, in bytes or transactions, as the
    /// backend counts; and as old as before, or as [`max_lag`](crate::Config::max_lag) where they might be of any age.
    #[must_use]
    pub fn with_distance(&self, distance: u64) -> Self {
        self.asking(match self.asked {
            Asked::This(Freshness::Within(time) | Freshness::Behind { time, .. }) => {
                Asked::This(Freshness::Behind { time, distance })
            }
            Asked::This(_) | Asked::Usual { .. } => Asked::Usual { distance: Some(distance) },
        })
    }

    /// The same handle for reads that wait so long for a replica that may serve them, before they go to the primary. It is part of the time
    /// that a call may wait for a connection.
    ///
    /// Where the backend [can](Backend::can_wait), the replica itself waits for the caller's writes, in front of the read, with its
    /// connection; reads that wait so hold at most half of its connections. Else, and for what other reasons there are, it is looked again
    /// with each answer of a monitor.
    #[must_use]
    pub fn with_wait(&self, limit: Duration) -> Self {
        Self { wait: limit, ..self.clone() }
    }

    /// The same handle for reads that go to no primary: where no replica may serve one, it fails with [`ErrorKind::NoReplica`]. Not those
    /// for which the primary is asked for, or the mode is [`Mode::PrimaryOnly`].
    #[must_use]
    pub fn with_replicas_only(&self) -> Self {
        Self { is_replicas_only: true, ..self.clone() }
    }

    /// The same handle for statements that say in `report` where they ran.
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        Self { report: Some(report.clone()), ..self.clone() }
    }

    /// When a call that begins now has to be over, if there is a limit.
    pub(crate) fn end_of_call(&self) -> Option<Instant> {
        // A limit past the end of time is none.
        let limit = self.timeout.or_else(|| self.shared().config.call_timeout);
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        match (end, self.deadline) {
            (Some(end), Some(deadline)) => Some(end.min(deadline)),
            (end, deadline) => end.or(deadline),
        }
    }

    /// A handle whose reads show what was written through it and its clones, and nobody else's writes in particular.
    #[must_use]
    pub fn session(&self) -> Self {
        let asked = Asked::Usual { distance: None };
        Self { asked, sees: Sees::Session(Arc::default()), ..self.clone() }
    }

    /// The same handle for reads that never show less than one of the same session before. They stay on one replica as long as it may serve
    /// them, and the primary is asked behind a read how far it is.
    #[must_use]
    pub fn with_monotonic_reads(&self) -> Self {
        Self { is_monotonic: true, ..self.clone() }
    }

    /// What its reads must not show less of than; nothing, where they may.
    pub(crate) fn monotonic(&self) -> Option<&Line<B::Position>> {
        match &self.sees {
            Sees::Session(line) if self.is_monotonic => Some(line),
            _ => None,
        }
    }

    /// Notes, where its reads never show less than one before, that one ran of which nobody knows what it showed, as in a transaction or on a
    /// lease.
    pub fn has_read(&self) {
        if let Some(line) = self.monotonic() {
            line.add(&Seen::written(self.token_at(TokenPosition::Everything), now()));
        }
    }

    /// Does [`has_read`](Self::has_read) when what it gives is dropped: for what reads until then.
    #[must_use]
    pub fn reads_until_dropped(&self) -> ReadsUntilDropped<B> {
        ReadsUntilDropped(self.is_monotonic().then(|| self.clone()))
    }

    /// Notes a read on the primary, which showed no more than `token` asks for.
    pub(crate) fn has_read_at(
        &self,
        line: &Line<B::Position>,
        token: Token<B::Position>,
        before: Option<Shown>,
    ) {
        line.add(&Seen::written(Some(token), now()));
        line.read_on_primary(before);
    }

    /// Whether [`has_read`](Self::has_read) does anything.
    #[must_use]
    pub fn is_monotonic(&self) -> bool {
        self.monotonic().is_some()
    }

    /// Waits for a primary; gives it and its name.
    ///
    /// # Errors
    ///
    /// The handle was closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn primary(&self) -> Result<(NodeKey, Arc<str>), Error> {
        let shared = self.shared();
        loop {
            if shared.is_closed() {
                return Err(Error::new(ErrorKind::Closed, Outcome::NotSent, "the handle is closed"));
            }
            let view = shared.view.load_full();
            if let Some(primary) = view.primary.map(|primary| shared.node(&view, primary)) {
                return Ok((primary.key, Arc::clone(&primary.name)));
            }
            shared.nudge_all();
            shared.wait_until(|snapshot| snapshot.primary.is_some() || shared.is_closed()).await;
        }
    }

    /// Waits until a node is not the primary any more, or down, or the handle is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn until_replaced(&self, primary: NodeKey) {
        let node = self.shared().node_of(primary);
        let is_replaced = |view: &View<B::Position>| {
            if self.shared().is_closed() {
                return true;
            }
            let is_down = view.of(node).is_none_or(|view| view.health == Health::Down);
            is_down || (view.primary.is_some() && !view.is_primary(node))
        };
        self.shared().wait_until(is_replaced).await;
    }

    /// Whether the cluster was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// The primary, if there is one now.
    #[must_use]
    pub fn primary_now(&self) -> Option<NodeKey> {
        let view = self.shared().view.load();
        view.primary.map(|primary| self.shared().node(&view, primary).key)
    }

    /// Waits until another primary was adopted than in this epoch, by its own name too, or the handle is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn until_other_epoch(&self, epoch: Epoch) {
        self.shared().wait_until(|view| view.epoch != epoch || self.shared().is_closed()).await;
    }

    /// The server that is the primary, as its last answer tells, where it can be told apart from others.
    #[must_use]
    pub fn primary_server(&self) -> Option<ServerId> {
        let view = self.shared().view.load();
        let primary = view.primary?;
        view.members().find(|node| node.id == primary)?.server
    }

    /// A replica that reads of this handle may go to now, the less busy of two, if there is one; and its name.
    #[must_use]
    pub fn replica(&self) -> Option<(NodeKey, Arc<str>)> {
        let shared = self.shared();
        let view = shared.view.load();
        let ask = Ask {
            access: Access::Read,
            text: None,
            is_switched: false,
            last_read: None,
            may_wait: NodeSet::EMPTY,
            seed: fastrand::u64(..),
            now: now(),
        };
        let mut plan = self.decide(&view, &ask).decision.plan;
        let (shard, tick) = (Shard::own(), Tick::of(now()));
        let chosen = plan.next(|id| shared.node(&view, id).load(shard, tick));
        let chosen = chosen.filter(|id| view.primary != Some(*id)).map(|id| shared.node(&view, id));
        chosen.map(|node| (node.key, Arc::clone(&node.name)))
    }

    /// Waits until a node is no replica that should be read from: it is down, drained, taken out, too old for most, or another's; or the handle is
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn until_unfit(&self, replica: NodeKey) {
        let node = self.shared().node_of(replica);
        let is_fit = |view: &NodeView<B::Position>| {
            let is_replica = view.role == Some(Role::Replica) && view.same_cluster;
            is_replica
                && view.health == Health::Up
                && view.membership == Membership::Member
                && !view.is_lagging
        };
        let is_unfit =
            |view: &View<B::Position>| self.shared().is_closed() || !view.of(node).is_some_and(is_fit);
        self.shared().wait_until(is_unfit).await;
    }

    /// Where a node is.
    #[must_use]
    pub fn address(&self, node: NodeKey) -> &B::Address {
        &self.shared().node_of(node).address
    }

    /// Has all nodes asked now who they are: something went otherwise than they said last.
    pub fn look_again(&self) {
        self.shared().nudge_all();
    }

    /// How long a call may wait in all, for a node that may run it and for its connection.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.shared().limits.waits().in_all()
    }

    /// What a text does, as far as the text, and the catalog of the database, show. Answers are remembered by text.
    ///
    /// Where a catalog is wanted and not there, or older than a definition that was run here, nothing is a plain read.
    #[must_use]
    pub fn classify(&self, sql: &str) -> Classification {
        let shared = self.shared();
        // Asked first: the catalog behind the answer is then at least as new.
        let is_known = shared.knowledge.is_current() || shared.knows_catalog(&shared.view.load());
        let classification = shared.knowledge.classify(sql, self.search_path);
        if is_known { classification } else { classification.without_catalog() }
    }

    /// All that a text shows, as far as the last catalog shows what is behind it.
    #[must_use]
    pub fn analyze(&self, sql: &str) -> Arc<Analysis> {
        self.shared().knowledge.analyze(sql, self.search_path)
    }

    /// Whether a text may define something, as far as the text and `classification` show: then the catalog may be another
    /// when it was run. [`run`](Self::run) looks itself.
    #[must_use]
    pub fn may_define(&self, sql: &str, classification: &Classification) -> bool {
        may_define(sql, classification, B::DIALECT)
    }

    /// What the database holds, as it was asked last; nothing before the first answer, and where it is not asked.
    #[must_use]
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.shared().knowledge.catalog()
    }

    /// Counts the definitions that were run here, as far as texts show: a catalog of before one does not know it.
    #[must_use]
    pub fn definitions(&self) -> u64 {
        self.shared().knowledge.definitions()
    }

    /// Notes that a definition was run: the catalog is loaded again, if it is loaded at all, and reads go to the primary
    /// until it is.
    pub fn defined(&self) {
        if self.shared().config.catalog_interval.is_some() {
            self.shared().knowledge.defined();
        }
    }

    /// Where a statement would go now, and why.
    #[must_use]
    pub fn explain(&self, sql: &str) -> Explanation {
        self.here().explain_here(sql)
    }

    fn explain_here(&self, sql: &str) -> Explanation {
        let classification = self.classify(sql);
        let shared = self.shared();
        let snapshot = shared.view.load();
        let access = self.access_of(&Statement::text(sql, &classification, B::DIALECT));
        let is_switched = self.is_switched(access, Some(sql));
        let last_read = self.monotonic().and_then(|line| line.last_read(&snapshot));
        let (may_wait, now) = (NodeSet::EMPTY, now());
        let ask = Ask { access, text: Some(sql), is_switched, last_read, may_wait, seed: 0, now };
        let Decided { decision, .. } = self.decide(&snapshot, &ask);
        let reason = match decision.reason {
            Reason::NotARead(_) if classification.is_plain_read() => Reason::RefusedBefore.to_string(),
            Reason::NotARead(_) => shared.knowledge.why(&classification, sql),
            reason => reason.to_string(),
        };
        let role = match decision.reason {
            Reason::FreshReplica | Reason::ProvingReplica => Some(Role::Replica),
            Reason::LaterTimeline | Reason::OtherCluster => None,
            _ => Some(Role::Primary),
        };
        let nodes = decision
            .plan
            .nodes()
            .iter()
            .filter(|node| role == Some(Role::Primary) || Some(*node) != snapshot.primary);
        let nodes = nodes.map(|node| Arc::clone(&shared.node(&snapshot, node).name)).collect();
        Explanation { role, reason, nodes }
    }

    /// Notes a write of which only the time of its answer is known, or that may or may not have run: reads are not
    /// served by a replica before one is known to show everything up to now.
    pub fn wrote(&self) {
        let seen = Seen::written(self.token_at(TokenPosition::Everything), now());
        self.add_seen(&seen, &Changes::Anything);
    }

    /// Notes a write that was acknowledged and lies at or before `position`, for which the primary of `epoch` was asked at `asked` or later.
    /// When another one has been adopted meanwhile, the place is not known.
    pub fn wrote_at(
        &self,
        position: B::Position,
        epoch: Epoch,
        asked: std::time::Instant,
        changes: &Changes,
    ) {
        let seen = match self.token_of(position, epoch) {
            Some(token) => Seen::written_up_to(token, asked, now()),
            None => Seen::written(self.token_at(TokenPosition::Everything), now()),
        };
        self.add_seen(&seen, changes);
    }

    /// Counts the primaries that were adopted: a connection to one is of the epoch in which it was given.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared().view.load().epoch
    }

    /// What the primary of `epoch` said of where it is. Beyond a fork it would be another place: so both are of one view.
    pub(crate) fn token_of(&self, position: B::Position, epoch: Epoch) -> Option<Token<B::Position>> {
        let view = self.shared().view.load();
        let position = TokenPosition::UpTo(position);
        Some(&view).filter(|view| view.epoch == epoch).and_then(|view| Self::token_in(view, position))
    }

    pub(crate) fn token_at(&self, position: TokenPosition<B::Position>) -> Option<Token<B::Position>> {
        Self::token_in(&self.shared().view.load(), position)
    }

    fn token_in(
        view: &View<B::Position>,
        position: TokenPosition<B::Position>,
    ) -> Option<Token<B::Position>> {
        let place = view.cluster.zip(view.timeline);
        place.map(|(cluster, timeline)| Token::new(cluster, timeline, position))
    }

    fn add_seen(&self, seen: &Seen<B::Position>, changes: &Changes) {
        let current = self.in_current();
        if let Sees::Session(line) = &current.as_ref().unwrap_or(self).sees {
            line.wrote(seen);
        }
        // A session's writes are the process's too.
        self.shared().written.add(seen, changes);
    }

    /// Whether its reads show what a session has written, and not the process.
    #[must_use]
    pub const fn is_session(&self) -> bool {
        matches!(self.sees, Sees::Session(_))
    }

    /// What its reads must show, if anything was written.
    pub(crate) fn seen(&self) -> Option<Guard<Arc<Seen<B::Position>>>> {
        if self.reads_as_process() { self.written_by_process() } else { self.own_seen() }
    }

    /// Whether its reads show what the whole process has written: those of a plain handle, in a session too that has written and was told nothing yet, which
    /// takes nothing from them.
    pub(crate) fn reads_as_process(&self) -> bool {
        match &self.sees {
            Sees::Nothing => false,
            Sees::Process => true,
            Sees::Session(line) => self.shows_process && line.seen().is_nothing(),
        }
    }

    /// What it has written itself, or was told, if anything.
    pub(crate) fn own_seen(&self) -> Option<Guard<Arc<Seen<B::Position>>>> {
        match &self.sees {
            Sees::Nothing => None,
            Sees::Process => self.written_by_process(),
            Sees::Session(line) => Some(line.seen()),
        }
    }

    fn written_by_process(&self) -> Option<Guard<Arc<Seen<B::Position>>>> {
        Some(&self.shared().written).filter(|written| !written.is_nothing()).map(Written::all)
    }

    pub(crate) fn shared(&self) -> &Shared<B> {
        &self.cluster.shared
    }

    /// What a statement does, as far as its text and earlier refusals show.
    pub(crate) fn access_of(&self, statement: &Statement<'_>) -> Access {
        let was_refused = |text: &str| self.shared().refused.contains(text, B::DIALECT);
        if statement.access.is_read() && statement.text.is_some_and(was_refused) {
            return Access::Write;
        }
        statement.access
    }

    /// Whether an operator sends a read to the primary by its text.
    pub(crate) fn is_switched(&self, access: Access, text: Option<&str>) -> bool {
        let text = text.filter(|_| access.is_read());
        text.is_some_and(|text| self.shared().board.names(|| self.analyze(text)))
    }

    /// Decides by what is known now, and by the switches.
    #[inline(always)]
    pub(crate) fn decide(&self, snapshot: &Snapshot<B::Position>, ask: &Ask<'_>) -> Decided<B::Position> {
        // Looked at first: what was out and is over was noted before.
        let is_unseen_out = self.has_unseen_out();
        let (seen, nothing) = (self.seen(), Seen::default());
        let seen_by_all = seen.as_ref().map_or(&nothing, |seen| seen);
        let mut decided = self.decide_for(seen_by_all, snapshot, ask, is_unseen_out);
        if is_unseen_out {
            return decided;
        }
        // Mostly every replica shows all that was written; only where not, it is worth a look what the read needs of that.
        let is_held_up = matches!(decided.shadow, Some(Reason::OwnWrite | Reason::ProvingReplica))
            || decided.decision.reason == Reason::OwnWrite
            || !decided.decision.to_prove.is_empty();
        if let Some(less) = ask.text.filter(|_| is_held_up).and_then(|text| self.seen_by_tables_of(text)) {
            decided = self.decide_for(&less, snapshot, ask, false);
            decided.seen = Some(Box::new(less));
        }
        decided
    }

    #[inline(always)]
    fn decide_for(
        &self,
        seen: &Seen<B::Position>,
        snapshot: &Snapshot<B::Position>,
        ask: &Ask<'_>,
        is_unseen_out: bool,
    ) -> Decided<B::Position> {
        let Ask { access, is_switched, last_read, may_wait, seed, now, .. } = *ask;
        let request = Request::new(access, self.freshness(), seen, seed).behind(last_read).waiting(may_wait);
        let mut decision = decide(&request.proving(self.shared().backend.can_prove()), snapshot, now);
        let on_primary = || decide(&Request::new(access, Freshness::Latest, seen, seed), snapshot, now);
        let is_for_unseen =
            is_unseen_out && matches!(decision.reason, Reason::FreshReplica | Reason::ProvingReplica);
        if is_for_unseen {
            // Nobody knows what the work that is out has written.
            decision = on_primary();
            decision.reason = Reason::OwnWrite;
        }
        let wanted = match seen.position_on(snapshot.timeline) {
            Some(position) => Wanted::Position(position.clone()),
            None if seen.is_nothing() => Wanted::Nothing,
            None => Wanted::Unknown,
        };
        let decided = Decided { decision, shadow: None, wanted, seen: None, is_for_unseen };
        let mode = self.shared().mode.get();
        if mode == Mode::Route && !is_switched {
            return decided;
        }
        overrule(decided, mode, is_switched, on_primary)
    }
}

/// What is decided where the mode is not [`Mode::Route`], or an operator sends the statement to the primary. Beside the decision stands, in
/// [`Mode::Shadow`], the reason of that which [`Mode::Route`] would be.
fn overrule<P>(
    decided: Decided<P>,
    mode: Mode,
    is_switched: bool,
    on_primary: impl FnOnce() -> Decision,
) -> Decided<P> {
    let in_shadow = |reason| (mode == Mode::Shadow).then_some(reason);
    let (overruled, shadow) = match (mode, decided.decision.reason) {
        (Mode::PrimaryOnly, Reason::FreshReplica | Reason::ProvingReplica) => (Reason::PrimaryOnlyMode, None),
        (_, Reason::FreshReplica | Reason::ProvingReplica) if is_switched => {
            (Reason::SwitchedToPrimary, in_shadow(Reason::SwitchedToPrimary))
        }
        (Mode::Shadow, reason @ (Reason::FreshReplica | Reason::ProvingReplica)) => {
            (Reason::ShadowMode, Some(reason))
        }
        (_, reason) => return Decided { shadow: in_shadow(reason), ..decided },
    };
    let mut decision = on_primary();
    decision.reason = overruled;
    Decided { decision, shadow, ..decided }
}

/// Reads that nobody sees; made by [`Handle::reads_until_dropped`].
#[derive(Debug)]
pub struct ReadsUntilDropped<B: Backend>(Option<Handle<B>>);

impl<B: Backend> Drop for ReadsUntilDropped<B> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.has_read();
        }
    }
}

/// Where a statement would go, and why. `Display` is one line: `primary: nextval() writes (bytes 7..14)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    role: Option<Role>,
    reason: String,
    nodes: Vec<Arc<str>>,
}

impl Explanation {
    /// That of a statement which its handle refuses.
    #[must_use]
    pub const fn refused(reason: String) -> Self {
        Self { role: None, reason, nodes: Vec::new() }
    }

    /// The role of the nodes it would go to; `None` when it may go to none.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        self.role
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The nodes it could go to, of which the less busy of two would be taken.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|name| &**name)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role.map_or("nowhere", Role::as_str), self.reason)
    }
}
