//! The search for a node that may run a statement, gives a connection, and answers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use millpond_core::{
    Access, Epoch, Health, Input, Lag, LastRead, NodeId, NodeSet, NodeView, Plan, Position, Reason, Role,
    Seen,
};
use millpond_pool::{AcquireError, AcquireOptions};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::execute::Statement;
use crate::handle::{Ask, Decided, Sees, Wanted};
use crate::latency::Tick;
use crate::limits::Waits;
use crate::line::{Line, Shown};
use crate::members::View;
use crate::node::{InFlight, Node, now};
use crate::shadow::Recording;
use crate::shards::Shard;
use crate::sight::StatementSpan;
use crate::{Backend, Error, Handle, NodeLease, Purpose, Served};

mod failures;
mod plain;

/// A connection to a node that may run the statement.
pub(crate) struct Leased<'a, B: Backend> {
    pub(crate) node: &'a Node<B>,
    pub(crate) purpose: Purpose,
    pub(crate) lease: NodeLease<B>,
    /// When the node was chosen.
    pub(crate) epoch: Epoch,
    /// What it has to show, where that is not known of it.
    pub(crate) must_show: Option<B::Position>,
    /// Until when it may wait for that.
    pub(crate) wait_until: Option<Instant>,
    /// Whether it is a read on the primary since it has to show a write at no known place.
    pub(crate) is_for_unplaced: bool,
    pub(crate) in_flight: InFlight<'a, B>,
}

/// A node that the statement is to run on.
struct Candidate<'a, B: Backend> {
    node: &'a Node<B>,
    purpose: Purpose,
    in_flight: InFlight<'a, B>,
}

/// What was decided, by which view, and the node of the plan that has to give a connection. The view itself is not kept while that is waited
/// for: of many that wait, all but a few would write to one counter.
struct Course<'a, B: Backend> {
    by: u64,
    /// When that was.
    at: Instant,
    decided: Decided<B::Position>,
    candidate: Option<Candidate<'a, B>>,
}

/// How the search goes on.
enum Then {
    /// With the next node of the plan.
    Next,
    /// With another decision.
    Anew,
}

/// What came of waiting for a connection.
type Acquired<B> = Result<NodeLease<B>, AcquireError<<B as Backend>::Error>>;

/// How soon a search whose plan is used up starts anew while nothing changes.
const RETRY: Duration = Duration::from_millis(100);

/// How soon a read that waits for a replica looks again at the latest.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// One of so many shares of the time is for a node while others may run a read.
const SHARES: u32 = 4;

/// So long behind the decision a node is looked at anew before a read runs on it.
const PROMPT: Duration = Duration::from_millis(1);

/// The search for a node that answers: what was tried, and the deadline over all of it.
pub(crate) struct Search<'a, B: Backend> {
    handle: &'a Handle<B>,
    /// A read that a replica refused becomes a write.
    pub(crate) access: Access,
    text: Option<&'a str>,
    /// The time, as of the start, or of the end of the last wait.
    pub(crate) now: Instant,
    /// The same for reckoning with loads.
    pub(crate) tick: Tick,
    /// How many definitions had been run when the text was judged.
    definitions: u64,
    /// How long it may wait.
    waits: Waits,
    /// How long it has waited while no node might run it, where that has a limit of its own: it is no part of the wait for a connection.
    without_node: Duration,
    /// When the call has to be over, if there is a limit.
    ends: Option<Instant>,
    tried: NodeSet,
    /// When the last of them was given up.
    gave_up: Option<Instant>,
    /// Those that were to wait for what it must show, each once.
    waited: NodeSet,
    /// Whether an operator sends it to the primary.
    is_switched: bool,
    /// Whether a primary may have run it already and, without a catalog, what looks like a read can write. Then no other primary may run
    /// it.
    is_off_primaries: bool,
    reason: Option<Reason>,
    /// In [`Mode::Shadow`], why it would go where [`Mode::Route`] would send it.
    shadow: Option<Reason>,
    /// What it must not show less of than.
    shown: Option<Shown>,
    last_error: Option<Error>,
    /// Whether the last node that was asked has too many callers waiting, or does not let us in.
    is_hopeless: bool,
    changes: Option<watch::Receiver<()>>,
    begun: Instant,
    answers: Option<watch::Receiver<()>>,
    /// Counts it among the reads that run on the primary for want of a replica.
    fallback: Option<Counted<'a>>,
    /// Counts it among those that wait since no node may run them.
    waiting: Option<Counted<'a>>,
    /// How far it was when no connection was at hand.
    unfinished: Option<Course<'a, B>>,
}

impl<'a, B: Backend> Search<'a, B> {
    pub(crate) fn new(handle: &'a Handle<B>, statement: &Statement<'a>, ends: Option<Instant>) -> Self {
        let now = Instant::now();
        let access = handle.access_of(statement);
        if access.is_read() {
            handle.shared().retry_budget.first_try();
        }
        Self {
            handle,
            access,
            text: statement.text,
            now,
            tick: Tick::of(now.into_std()),
            definitions: handle.shared().knowledge.definitions(),
            waits: handle.shared().limits.waits(),
            without_node: Duration::ZERO,
            ends,
            tried: NodeSet::EMPTY,
            gave_up: None,
            waited: NodeSet::EMPTY,
            is_switched: handle.is_switched(access, statement.text),
            is_off_primaries: false,
            reason: None,
            shadow: None,
            shown: handle.monotonic().filter(|_| access.is_read()).and_then(Line::shown),
            last_error: None,
            is_hopeless: false,
            changes: None,
            begun: now,
            unfinished: None,
            answers: None,
            fallback: None,
            waiting: None,
        }
    }

    /// A connection that is at hand, where the statement is to run first: what mostly happens, without what waiting for one takes. Where
    /// there is none, [`next_lease`](Self::next_lease) goes on.
    ///
    /// What is decided and chosen on the way is always inlined here: as values that are returned it would be moved again and again, and read
    /// back from memory in other widths than it was written, which took a fifth of the whole way of a read.
    pub(crate) fn lease_at_hand(&mut self) -> Option<Leased<'a, B>> {
        let (view, seed) = (self.handle.shared().view.load(), fastrand::u64(..));
        if let Some(leased) = self.plain_lease(&view, seed) {
            return Some(leased);
        }
        // By the same seed: otherwise nodes that this thread has nothing at hand of would be chosen less often.
        let mut decided = self.decide(&view, seed);
        if self.has_to_wait(&decided) != Ok(false) {
            return None;
        }
        let Ok(Some(candidate)) = self.next_candidate(&view, &mut decided) else { return None };
        let Some(lease) = candidate.node.pool(candidate.purpose).at_hand(self.now) else {
            self.unfinished =
                Some(Course { by: view.number, at: self.now, decided, candidate: Some(candidate) });
            return None;
        };
        self.take(&view, &decided, candidate, lease, false).ok()
    }

    /// The next node that may run it and gives a connection. Decided anew each time, by what is known then.
    pub(crate) async fn next_lease(&mut self) -> Result<Leased<'a, B>, Error> {
        let shared = self.handle.shared();
        'decision: loop {
            let mut is_without_node = false;
            let mut course = match self.unfinished.take() {
                Some(course) => course,
                None => {
                    let (at, view) = (self.now, shared.view.load());
                    let mut decided = self.decide(&view, fastrand::u64(..));
                    if self.has_to_wait(&decided).map_err(|reason| self.no_replica(reason))? {
                        drop(view);
                        self.wait_for_answer().await;
                        continue;
                    }
                    is_without_node = decided.decision.plan.nodes().is_empty();
                    if !is_without_node {
                        self.waiting = None;
                    }
                    let candidate = self.next_candidate(&view, &mut decided)?;
                    Course { by: view.number, at, decided, candidate }
                }
            };
            while let Some(candidate) = course.candidate.take() {
                let acquired = self.acquire(&candidate, &course.decided.decision.plan).await;
                let view = shared.view.load();
                let then = match acquired {
                    Some(Ok(lease)) => {
                        // It may be other nodes that were waited for. By a later view, an id of the plan may mean another node, too.
                        let since = self.now.saturating_duration_since(course.at);
                        let is_outdated = since >= PROMPT || view.number != course.by;
                        match self.take(&view, &course.decided, candidate, lease, is_outdated) {
                            Ok(leased) => return Ok(leased),
                            Err(then) => then,
                        }
                    }
                    Some(Err(error)) => self.no_lease(candidate.node, &error)?,
                    None => Then::Next,
                };
                if matches!(then, Then::Anew) {
                    continue 'decision;
                }
                course.candidate = self.next_candidate(&view, &mut course.decided)?;
            }
            self.wait_for_change(is_without_node).await?;
        }
    }

    /// Whether it waits for a replica first.
    ///
    /// # Errors
    ///
    /// Why no replica may serve it, where no other node may.
    fn has_to_wait(&self, decided: &Decided<B::Position>) -> Result<bool, Reason> {
        let reason = decided.decision.reason;
        if !self.access.is_read() || !reason.is_fallback() {
            return Ok(false);
        }
        // Who may go to the primary waits only for what may come soon.
        let is_worth_it = (reason.may_pass() && !decided.is_for_unseen) || self.handle.is_replicas_only;
        let waits = is_worth_it && self.is_patient() && !self.handle.shared().is_closed();
        if !waits && self.handle.is_replicas_only { Err(reason) } else { Ok(waits) }
    }

    /// The next node of the plan that it may run on.
    #[inline(always)]
    fn next_candidate(
        &mut self,
        view: &View<B::Position>,
        decided: &mut Decided<B::Position>,
    ) -> Result<Option<Candidate<'a, B>>, Error> {
        let shared = self.handle.shared();
        let (shard, tick) = (Shard::own(), self.tick);
        while let Some(id) = decided.decision.plan.next(|id| shared.node(view, id).load(shard, tick)) {
            let purpose = if view.primary == Some(id) { Purpose::Write } else { Purpose::Read };
            if self.tried.contains(id) || (purpose == Purpose::Write && self.is_off_primaries) {
                continue;
            }
            if purpose == Purpose::Write && self.is_for_want_of_a_replica() {
                if self.handle.is_replicas_only {
                    continue;
                }
                self.count_fallback()?;
            }
            let node = shared.node(view, id);
            return Ok(Some(Candidate { node, purpose, in_flight: node.begin(shard) }));
        }
        Ok(None)
    }

    /// Takes a connection, unless it is none any more that the statement may run on. Where the decision is outdated, it is looked at once more by
    /// what is known now.
    #[inline(always)]
    fn take(
        &mut self,
        view: &View<B::Position>,
        decided: &Decided<B::Position>,
        candidate: Candidate<'a, B>,
        lease: NodeLease<B>,
        is_outdated: bool,
    ) -> Result<Leased<'a, B>, Then> {
        let Candidate { node, purpose, mut in_flight } = candidate;
        if !self.leads_there(view, node, purpose, &lease) {
            lease.close();
            return Err(Then::Anew);
        }
        let Some(epoch) = self.still_right(view, node, purpose, &lease, is_outdated) else {
            return Err(Then::Anew);
        };
        if self.may_have_gone_back(view, node, purpose, &lease) {
            // It is one like any other then.
            self.shown = self.shown.map(Shown::without_node);
            return Err(Then::Anew);
        }
        let Decided { decision, wanted, seen, .. } = decided;
        let is_to_prove = decision.to_prove.contains(node.id)
            || self.must_prove(node, purpose, &lease, wanted, seen.as_deref());
        let must_show = match wanted {
            Wanted::Position(position) if is_to_prove => Some(position.clone()),
            Wanted::Unknown if is_to_prove => {
                node.nudged.notify_one();
                return Err(Then::Next);
            }
            _ => None,
        };
        let wait_until =
            must_show.as_ref().and_then(|_| self.wait_until(node, &decision.plan, &mut in_flight));
        let is_for_unplaced =
            purpose == Purpose::Write && self.access.is_read() && matches!(wanted, Wanted::Unknown);
        Ok(Leased { node, purpose, lease, epoch, must_show, wait_until, is_for_unplaced, in_flight })
    }

    /// A node gives no connection: what then.
    fn no_lease(&mut self, node: &Node<B>, error: &AcquireError<B::Error>) -> Result<Then, Error> {
        if matches!(error, AcquireError::Closed) && self.handle.shared().view.load().of(node).is_none() {
            // It was taken out meanwhile.
            return Ok(Then::Anew);
        }
        self.cannot_acquire(node, error)?;
        Ok(Then::Next)
    }

    /// A connection from a node, waited for; not where the node meanwhile may not serve any more.
    async fn acquire(&mut self, candidate: &Candidate<'_, B>, rest: &Plan) -> Option<Acquired<B>> {
        let Candidate { node, purpose, .. } = *candidate;
        let shared = self.handle.shared();
        let mut is_unfit = pin!(shared.wait_until(|view| !may_serve(view, node, purpose)));
        let options = AcquireOptions::new().deadline(self.deadline_for(rest)).now(self.now);
        let mut acquire = pin!(node.pool(purpose).acquire_with(options));
        let mut has_waited = false;
        let acquired = poll_fn(|context| match acquire.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                has_waited = true;
                is_unfit.as_mut().poll(context).map(|()| None)
            }
        });
        let acquired = acquired.await;
        if has_waited {
            self.look_at_the_clock();
        }
        acquired
    }

    /// Whether the replica that served the last read may have crashed since, and shows less: its connection is newer than that read.
    fn may_have_gone_back(
        &self,
        view: &View<B::Position>,
        node: &Node<B>,
        purpose: Purpose,
        lease: &NodeLease<B>,
    ) -> bool {
        let Some(shown) = self.shown.filter(|_| purpose == Purpose::Read) else { return false };
        let last = LastRead { node: None, answered: shown.answered };
        let is_shown_by_age = || view.of(node).is_some_and(|view| last.is_shown_by(view));
        shown.is_on(node.key) && lease.opened_at() >= shown.sent && !is_shown_by_age()
    }

    /// Whether what is known of a replica now does not show what it has to: it may have been asked again, further back, since it was
    /// chosen. Nor does what may be of before it crashed, since it begins again further back than it was. A connection that is older
    /// than the knowledge would have ended.
    fn must_prove(
        &self,
        node: &Node<B>,
        purpose: Purpose,
        lease: &NodeLease<B>,
        wanted: &Wanted<B::Position>,
        seen: Option<&Seen<B::Position>>,
    ) -> bool {
        let shared = self.handle.shared();
        let may_be =
            purpose == Purpose::Read && !matches!(wanted, Wanted::Nothing) && shared.backend.can_prove();
        may_be && {
            let view = shared.view.load();
            view.of(node).is_none_or(|view| {
                view.observed.is_none_or(|asked| asked < lease.opened_at())
                    || !match seen {
                        Some(seen) => seen.is_shown_by(view),
                        None => self.handle.seen().is_none_or(|seen| seen.is_shown_by(view)),
                    }
            })
        }
    }

    /// Whether it is a read that would run on a replica if one could serve it. A lone node has all reads by design.
    fn is_for_want_of_a_replica(&self) -> bool {
        let is_meant_for_replica = |reason: Reason| {
            let is_fallback = reason.is_fallback() && reason != Reason::OnlyNode;
            is_fallback || matches!(reason, Reason::FreshReplica | Reason::ProvingReplica)
        };
        self.access.is_read() && self.reason.is_some_and(is_meant_for_replica)
    }

    /// Counts it among the reads that run on the primary for want of a replica, where there is a limit to them.
    fn count_fallback(&mut self) -> Result<(), Error> {
        let shared = self.handle.shared();
        let Some(most) = shared.limits.max_fallback_reads().filter(|_| self.fallback.is_none()) else {
            return Ok(());
        };
        self.fallback = Counted::one_more(&shared.fallback_reads, Some(most));
        if self.fallback.is_some() { Ok(()) } else { Err(self.too_many_fallbacks(most)) }
    }

    /// Whether it waits for a replica that may serve it.
    fn is_patient(&self) -> bool {
        !self.handle.wait.is_zero() && self.now < self.end_of_patience()
    }

    fn end_of_patience(&self) -> Instant {
        let patience = self.begun.checked_add(self.handle.wait);
        let deadline = self.deadline();
        patience.map_or(deadline, |patience| deadline.min(patience))
    }

    /// The replicas that can be asked to wait for what it must show.
    fn may_wait(&self, view: &View<B::Position>) -> NodeSet {
        if !self.access.is_read() || !self.is_patient() {
            return NodeSet::EMPTY;
        }
        let shared = self.handle.shared();
        let can_wait = |node: &Node<B>| shared.backend.can_wait(&node.address) && node.may_wait();
        let not_yet = view.members().map(|node| node.id).filter(|node| !self.waited.contains(*node));
        not_yet.filter(|node| can_wait(shared.node(view, *node))).collect()
    }

    /// Until when a replica may wait for what it must show: not where others are known to show it. While others may come to, it gets
    /// a share of the time.
    fn wait_until(
        &mut self,
        node: &Node<B>,
        rest: &Plan,
        in_flight: &mut InFlight<'_, B>,
    ) -> Option<Instant> {
        let shared = self.handle.shared();
        let can_wait = self.reason == Some(Reason::ProvingReplica)
            && self.is_patient()
            && !self.waited.contains(node.id)
            && shared.backend.can_wait(&node.address);
        if !can_wait {
            return None;
        }
        self.waited.insert(node.id);
        let end = self.end_of_patience();
        let primary = shared.view.load().primary;
        let may_serve = |other: NodeId| Some(other) != primary && !self.tried.contains(other);
        let is_one_of_several = rest.nodes().iter().any(may_serve);
        let share = end.saturating_duration_since(self.now) / SHARES;
        in_flight.wait().then(|| if is_one_of_several { self.now + share } else { end })
    }

    /// No replica may serve it: waits until a node has answered, or a while.
    async fn wait_for_answer(&mut self) {
        let shared = self.handle.shared();
        // Not every reason for which a replica may serve it comes with an answer.
        let next_look = self.end_of_patience().min(self.now + LOOK_AGAIN);
        let answers = self.answers.get_or_insert_with(|| shared.answers.subscribe());
        shared.nudge_all();
        let _ = timeout_at(next_look, answers.changed()).await;
        self.look_at_the_clock();
    }

    /// Counts it as a read that runs on the primary.
    pub(crate) fn count_on_primary(&self) {
        if let Some(reason) = self.reason {
            self.handle.shared().reads_on_primary.count(reason);
        }
    }

    /// Tells where the statement goes.
    pub(crate) fn tell(&self, sight: &mut StatementSpan, node: &Node<B>, purpose: Purpose) {
        let Some(reason) = self.reason else { return };
        let now = self.now.into_std();
        let role = match purpose {
            Purpose::Read => Role::Replica,
            Purpose::Write | Purpose::Probe => Role::Primary,
        };
        let served = Served {
            node: Arc::clone(&node.name),
            role,
            reason,
            lag: self.handle.shared().view.load().of(node).map_or(Lag::Unknown, |view| view.lag(now)),
            waited: self.now.saturating_duration_since(self.begun),
            tries: sight.tries_again(),
        };
        sight.sent(&served);
        if let Some(report) = &self.handle.report {
            report.put(served);
        }
    }

    /// In [`Mode::Shadow`], what records the statement that is sent now when it is dropped.
    pub(crate) fn recording(&self) -> Option<Recording<'a>> {
        let reason = self.shadow?;
        let shared = self.handle.shared();
        let was_refused = || self.text.is_some_and(|text| shared.refused.contains(text, B::DIALECT));
        let reason = match reason {
            Reason::NotARead(_) if was_refused() => Reason::RefusedBefore,
            reason => reason,
        };
        let (shadow, knowledge) = (&shared.shadow, &shared.knowledge);
        Some(Recording { shadow, knowledge, text: self.text, reason, sent: self.now.into_std() })
    }

    pub(crate) fn look_at_the_clock(&mut self) {
        self.now = Instant::now();
        self.tick = Tick::of(self.now.into_std());
    }

    /// While other nodes may run a read, one whose connections are all in use gets a share of the time.
    fn deadline_for(&self, rest: &Plan) -> Instant {
        let others = rest.nodes().iter().any(|node| !self.tried.contains(node));
        if self.access.is_read() && others {
            self.now + self.deadline().saturating_duration_since(self.now) / SHARES
        } else {
            self.deadline()
        }
    }

    /// Until when it waits for a connection. Worked out where it waits: most find one at hand.
    fn deadline(&self) -> Instant {
        earlier(self.begun + self.without_node + self.waits.acquire(), self.ends)
    }

    /// How much longer it may wait while no node may run it, where that has a limit of its own. While nodes have not been asked yet nobody
    /// knows that none may: then it waits as for a connection.
    fn patience_without_node(&self) -> Option<Duration> {
        let limit = self.waits.failover()?;
        let is_known = self.handle.cluster().is_known();
        is_known.then(|| limit.saturating_sub(self.without_node))
    }

    /// Whether a connection leads to the server by whose answers the node is chosen. While it was waited for, the name may have moved, or turned
    /// out to stand for several; then reads take any of them, and are chosen by nothing that one said.
    fn leads_there(
        &self,
        view: &View<B::Position>,
        node: &Node<B>,
        purpose: Purpose,
        lease: &NodeLease<B>,
    ) -> bool {
        view.of(node).is_none_or(|known| self.leads_to(known, purpose, lease))
    }

    #[inline(always)]
    fn leads_to(&self, known: &NodeView<B::Position>, purpose: Purpose, lease: &NodeLease<B>) -> bool {
        let servers = known.server.zip(self.handle.shared().backend.server(lease));
        servers.is_none_or(|(known, leads_to)| known == leads_to)
            || (known.hides_many && purpose == Purpose::Read)
    }

    /// The epoch as of which it may still run there, if it may: the wait may have been long.
    fn still_right(
        &self,
        view: &View<B::Position>,
        node: &Node<B>,
        purpose: Purpose,
        lease: &NodeLease<B>,
        is_outdated: bool,
    ) -> Option<Epoch> {
        if purpose == Purpose::Write {
            let view = self.handle.shared().view.load();
            // By the same name it may be another server now.
            let is_right = view.is_primary(node) && !lease.is_evicted();
            return is_right.then_some(view.epoch);
        }
        let is_right = || {
            let is_replica = view.of(node).is_some() && !view.is_primary(node);
            is_replica && self.decided(view, 0).decision.plan.nodes().contains(node.id)
        };
        (!is_outdated || is_right()).then_some(view.epoch)
    }

    /// A definition may have been run while a read waited, or a replica come to a lone node.
    fn judge_anew(&mut self, snapshot: &View<B::Position>) {
        let shared = self.handle.shared();
        let definitions = shared.knowledge.definitions();
        let is_outdated = definitions != self.definitions || !shared.knows_catalog(snapshot);
        if let Some(text) = self.text.filter(|_| self.access.is_read() && is_outdated) {
            self.definitions = definitions;
            let classification = self.handle.classify(text);
            self.access = self.handle.access_of(&Statement::text(text, &classification, B::DIALECT));
        }
    }

    #[inline(always)]
    fn decided(&self, view: &View<B::Position>, seed: u64) -> Decided<B::Position> {
        let (access, text, is_switched) = (self.access, self.text, self.is_switched);
        let last_read = self.shown.map(|shown| shown.last_read(view));
        let (may_wait, now) = (self.may_wait(view), self.now.into_std());
        self.handle.decide(view, &Ask { access, text, is_switched, last_read, may_wait, seed, now })
    }

    /// Takes in what a read showed: where it asked the primary how far that is, behind what it had to show at no known place, that has one
    /// now; and what it showed at most, in a session that never shows less later.
    pub(crate) fn has_read(
        &self,
        node: &Node<B>,
        purpose: Purpose,
        epoch: Epoch,
        sent: Instant,
        position: Option<B::Position>,
    ) {
        // A write is noted with its position, and shows no more.
        let Sees::Session(line) = &self.handle.sees else { return };
        if !self.access.is_read() {
            return;
        }
        let is_of_primary = purpose == Purpose::Write;
        let token = position.filter(|_| is_of_primary).and_then(|at| self.handle.token_of(at, epoch));
        if let Some(token) = &token {
            line.place(token, sent.into_std());
        }
        let Some(line) = self.handle.monotonic() else { return };
        match token {
            _ if !is_of_primary => line.read_on(node.key, sent.into_std(), now(), self.shown),
            Some(token) => self.handle.has_read_at(line, token, self.shown),
            None => self.handle.has_read(),
        }
    }

    #[inline(always)]
    fn decide(&mut self, snapshot: &View<B::Position>, seed: u64) -> Decided<B::Position> {
        let shared = self.handle.shared();
        self.judge_anew(snapshot);
        let decided = self.decided(snapshot, seed);
        let reason = decided.decision.reason;
        self.reason = Some(reason);
        self.shadow = decided.shadow;
        if !reason.is_fallback() {
            self.fallback = None;
        }
        tracing::trace!(target: "millpond", reason = reason.as_str(), "decided");
        match reason {
            Reason::ShadowMode => {
                shared.shadowed.fetch_add(1, Ordering::Relaxed);
            }
            // Fresher answers from the monitors let the next read go to a replica.
            Reason::OwnWrite | Reason::LastRead | Reason::TooOld if !decided.is_for_unseen => {
                shared.nudge_all()
            }
            _ => {}
        }
        decided
    }

    /// Takes in what a replica said before a read: whether what it gave then can be handed out. Behind a change of the primary, or of what
    /// it follows, its position may be one of another timeline.
    pub(crate) fn has_proved(
        &self,
        node: &Node<B>,
        epoch: Epoch,
        asked: Instant,
        position: Option<B::Position>,
    ) -> bool {
        let shared = self.handle.shared();
        let view = shared.view.load();
        let is_on_timeline = view.of(node).is_some_and(|known| known.timeline == view.timeline);
        let is_current = view.epoch == epoch && is_on_timeline;
        let Some(position) = position.filter(|_| is_current) else { return false };
        let known = view.of(node).and_then(|view| view.proven.as_ref());
        // Many that asked at the same time have the same to tell.
        if known.is_none_or(|known| !known.covers(&position)) {
            shared.take_in(node, Input::Proved { node: node.id, position, asked: asked.into_std() });
        }
        true
    }

    /// Takes in that a replica did not show what it had to, though it was asked at `asked`: it is left alone for a while.
    pub(crate) fn is_behind(&mut self, node: &Node<B>, wanted: B::Position, asked: Instant) {
        self.look_at_the_clock();
        let (asked, answered) = (asked.into_std(), self.now.into_std());
        let shared = self.handle.shared();
        shared.take_in(node, Input::Behind { node: node.id, wanted, asked, answered });
        node.nudged.notify_one();
    }

    /// The plan is used up, or has had no node from the start. Without a primary another may come; until then there is nothing to do but wait.
    async fn wait_for_change(&mut self, is_without_node: bool) -> Result<(), Error> {
        let shared = self.handle.shared();
        if self.is_hopeless || self.reason == Some(Reason::OtherCluster) {
            return Err(self.fruitless(None));
        }
        if shared.is_closed() {
            return Err(self.closed());
        }
        self.forgive();
        let since = self.now;
        let patience = if is_without_node { self.patience_without_node() } else { None };
        let end = match patience {
            Some(patience) => earlier(since + patience, self.ends),
            None => self.deadline(),
        };
        let Some(mut changes) = self.changes.take() else {
            // Subscribed after the plan was made from an older snapshot: the first look is at once.
            self.changes = Some(shared.changes.subscribe());
            return Ok(());
        };
        if shared.view.load().members().all(|node| self.tried.contains(node.id)) {
            // Every node has had its chance.
            return Err(self.fruitless(None));
        }
        // A token of a later timeline may be made up: who has one must not take the places of others.
        let is_counted = is_without_node && self.reason != Some(Reason::LaterTimeline);
        if is_counted && self.waiting.is_none() {
            let most = shared.limits.max_waiting();
            let Some(counted) = Counted::one_more(&shared.waiting_for_node, most) else {
                return Err(self.too_many_wait());
            };
            self.waiting = Some(counted);
        }
        shared.nudge_all();
        // Without a change a replica may show what a read has to, and a node that is up and gives no connection (it has none left, say) may
        // give one. What has no node to write to need not look.
        let looks_again = self.access.is_read() || !is_counted;
        let next_try = if looks_again { end.min(self.now + RETRY) } else { end };
        let is_changed = timeout_at(next_try, changes.changed()).await.is_ok();
        self.changes = Some(changes);
        self.look_at_the_clock();
        if !is_changed && self.now >= end {
            let limit = match patience {
                _ if self.ends.is_some_and(|ends| ends <= end) => "timeout",
                Some(_) => "failover_timeout",
                None => "acquire_timeout",
            };
            return Err(self.fruitless(Some(limit)));
        }
        if patience.is_some() {
            self.without_node += self.now.saturating_duration_since(since);
        }
        Ok(())
    }

    /// What has been down and answers again may be tried again: it may be the only one that can run it.
    fn forgive(&mut self) {
        let Some(gave_up) = self.gave_up.map(Instant::into_std) else { return };
        let view = self.handle.shared().view.load();
        let has_come_back = view.members().filter(|node| node.serves_since.is_some_and(|at| at > gave_up));
        self.tried = self.tried.difference(has_come_back.map(|node| node.id).collect());
    }
}

/// One of those that a count has, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// Unless there are as many as may be.
    fn one_more(count: &'a AtomicUsize, most: Option<usize>) -> Option<Self> {
        let most = most.unwrap_or(usize::MAX);
        let one_more = |count: usize| (count < most).then_some(count + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok().then(|| Self(count))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn earlier(end: Instant, ends: Option<Instant>) -> Instant {
    ends.map_or(end, |ends| end.min(ends))
}

/// Whether a node is what a connection for this purpose is for.
fn may_serve<B: Backend>(view: &View<B::Position>, node: &Node<B>, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Write => view.is_primary(node),
        Purpose::Read | Purpose::Probe => view.of(node).is_some_and(|view| view.health != Health::Down),
    }
}

#[cfg(test)]
mod tests;
