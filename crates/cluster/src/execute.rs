//! The line from a statement to its answer: decide, choose, acquire, execute, and go on to another node where that
//! is safe.

use std::borrow::Cow;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use millpond_core::{Access, Epoch, Health};
use millpond_sql::{Classification, Dialect, Effects, ReasonKind};
use tokio::time::{Instant, sleep_until};

use crate::definition::{is_several_transactions, may_define};
use crate::node::Node;
use crate::search::{Leased, Search};
use crate::sight::StatementSpan;
use crate::unseen::turned_away;
use crate::written::Changes;
use crate::{Backend, Error, ErrorKind, FailureKind, Handle, NodeLease, Outcome, Purpose};

/// What a backend does with one connection. May run several times, each time on another node.
pub trait Operation<B: Backend>: Send {
    /// What it gives.
    type Output: Send;

    /// Does it. The lease goes back when it is dropped, so an operation that hands on the connection keeps it.
    fn run(
        &mut self,
        lease: NodeLease<B>,
        target: Target<B::Position>,
    ) -> impl Future<Output = Result<Answer<Self::Output, B::Position>, B::Error>> + Send;
}

/// What an [`Operation`] runs on, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target<P> {
    /// What the connection is for.
    pub purpose: Purpose,
    /// What the statement is taken for. A read that a replica refused comes back as a write.
    pub access: Access,
    /// What the replica must show: asked of it first, by a statement of its own whose answer comes before, on the same connection. Only
    /// where the backend [can](Backend::can_prove).
    pub must_show: Option<P>,
    /// Until when the replica may wait for that before it says no, where the caller has patience. Only where the backend
    /// [can](Backend::can_wait).
    pub wait_until: Option<Instant>,
    /// Whether a primary is asked how far it is behind a read, as it is behind a write.
    pub is_placed: bool,
    /// When the statement was begun, where nobody wants to know when it is answered: then the clock need not be looked at again.
    pub untimed: Option<Instant>,
}

/// What an [`Operation`] gave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answer<T, P> {
    /// What the caller asked for.
    pub value: T,
    /// Where the primary was behind a write, or the replica before a read, when it was asked.
    pub position: Option<P>,
    /// When it came, if the clock was looked at.
    pub at: Option<Instant>,
    /// Whether the server said with it that its role is another than the one that the connection was opened for.
    pub is_other_role: bool,
}

impl<T, P> Answer<T, P> {
    /// One whose time is not known.
    pub const fn new(value: T, position: Option<P>) -> Self {
        Self { value, position, at: None, is_other_role: false }
    }

    /// The same, with whether the server said that its role is another now: then all nodes are asked who they are.
    #[must_use]
    pub fn with_other_role(self, is_other_role: bool) -> Self {
        Self { is_other_role, ..self }
    }

    /// Gives the connection back behind an answer, with one look at the clock for both, or with none where it is
    /// [untimed](Target::untimed).
    #[inline(always)]
    pub fn with_lease_back<B: Backend>(mut self, lease: NodeLease<B>, untimed: Option<Instant>) -> Self {
        let at = untimed.unwrap_or_else(Instant::now);
        lease.give_back_at(at);
        self.at = untimed.is_none().then_some(at);
        self
    }
}

/// What [`Handle::run`] knows of the statement.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Statement<'a> {
    pub(crate) access: Access,
    pub(crate) text: Option<&'a str>,
    /// The text by which its span describes it.
    seen_as: Option<&'a str>,
    writes: Writes,
    pub(crate) definitions: Definitions,
    /// Whether it may run once more on the primary when a replica refused it as a write: not a copy, and one that begins at its
    /// beginning.
    pub(crate) may_heal: bool,
}

/// Whether a statement may change what the database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Definitions {
    Perhaps,
    None,
}

/// When a statement's writes are noted, so that later reads show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    /// When it is answered; a statement that is refused wrote nothing.
    WithTheAnswer,
    /// When it is answered or refused: of several statements some, or a procedure, may have committed before.
    EvenWhenRefused,
    /// Not by [`Handle::run`]: the caller keeps the connection and notes what is written on it.
    ByTheCaller,
}

impl<'a> Statement<'a> {
    /// A statement by its text and what the text says.
    #[must_use]
    pub fn text(text: &'a str, classification: &Classification, dialect: Dialect) -> Self {
        let may_commit_midway = classification.statements() > 1
            || classification.reason().kind() == ReasonKind::Routine
            || is_several_transactions(text, classification);
        let writes = if may_commit_midway { Writes::EvenWhenRefused } else { Writes::WithTheAnswer };
        let access = if classification.is_plain_read() {
            Access::Read
        } else {
            classification.access().max(Access::Write)
        };
        let definitions =
            if may_define(text, classification, dialect) { Definitions::Perhaps } else { Definitions::None };
        let may_heal = !may_commit_midway && !classification.effects().contains(Effects::COPY);
        Self { access, text: Some(text), seen_as: Some(text), writes, definitions, may_heal }
    }

    /// Several that run one behind the other on one connection, each by itself, with what each of them says; `text` has them all. It may run
    /// where all of them may.
    #[must_use]
    pub fn several(text: &'a str, parts: &[(&'a str, Classification)], dialect: Dialect) -> Self {
        let mut all = Self {
            access: Access::Read,
            text: Some(text),
            seen_as: Some(text),
            writes: Writes::EvenWhenRefused,
            definitions: Definitions::None,
            may_heal: false,
        };
        for (part, classification) in parts {
            let one = Self::text(part, classification, dialect);
            all.access = all.access.max(one.access);
            if one.definitions == Definitions::Perhaps {
                all.definitions = Definitions::Perhaps;
            }
        }
        all
    }

    /// A connection to keep: for a transaction, or as a lease. The caller calls [`Handle::wrote`] or
    /// [`Handle::wrote_at`].
    #[must_use]
    pub const fn connection(access: Access) -> Self {
        let (writes, definitions) = (Writes::ByTheCaller, Definitions::None);
        Self { access, text: None, seen_as: None, writes, definitions, may_heal: false }
    }

    /// The same, with the text that the caller begins with, for its [span](Handle::span).
    #[must_use]
    pub const fn seen_as(self, text: &'a str) -> Self {
        Self { seen_as: Some(text), ..self }
    }
}

impl Statement<'_> {
    /// Whether a part of it may have been committed although it was refused.
    #[must_use]
    pub fn may_commit_midway(&self) -> bool {
        self.writes == Writes::EvenWhenRefused
    }
}

impl<B: Backend> Handle<B> {
    /// Runs an operation where its statement may run.
    ///
    /// A read goes on to the next node when a node cannot be reached, gives it up, or goes down, before anything was
    /// handed out; never to the same node twice, unless that was down and answers again. A read that a replica refuses as a
    /// write runs once more on the primary, when [`heal`](crate::Config::heal) is on. A write is sent once.
    ///
    /// # Errors
    ///
    /// [`Error`], with [`outcome`](Error::outcome).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the operation. A write that was sent may have run: later reads of this handle then
    /// wait for a replica that shows everything up to now, or go to the primary.
    pub async fn run<O: Operation<B>>(
        &self,
        statement: Statement<'_>,
        operation: &mut O,
    ) -> Result<O::Output, Error> {
        if let Some(session) = self.in_current() {
            // Apart, so that calls of those who are in none need not have room for it.
            return Box::pin(async move { session.run_here(statement, operation).await }).await;
        }
        self.run_here(statement, operation).await
    }

    async fn run_here<O: Operation<B>>(
        &self,
        statement: Statement<'_>,
        operation: &mut O,
    ) -> Result<O::Output, Error> {
        let seen_as = || statement.seen_as.map(Cow::Borrowed);
        let mut sight = StatementSpan::of(&*self.shared().backend, seen_as);
        let result = self.run_seen(&statement, operation, &mut sight).await;
        if let Err(error) = &result {
            self.shared().failed.count(error.kind());
            if error.kind() == ErrorKind::Overloaded {
                turned_away();
            }
        }
        sight.ended(&result);
        result
    }

    async fn run_seen<O: Operation<B>>(
        &self,
        statement: &Statement<'_>,
        operation: &mut O,
        sight: &mut StatementSpan,
    ) -> Result<O::Output, Error> {
        let ends = self.end_of_call();
        let mut search = Search::new(self, statement, ends);
        loop {
            let leased = match search.lease_at_hand() {
                Some(leased) => leased,
                None => search.next_lease().await?,
            };
            let Leased { node, purpose, lease, epoch, must_show, wait_until, is_for_unplaced, mut in_flight } =
                leased;
            let is_timed = in_flight.sent(purpose, search.tick);
            if purpose == Purpose::Write && search.access.is_read() {
                search.count_on_primary();
            }
            if sight.is_on() || self.report.is_some() {
                search.tell(sight, node, purpose);
            }
            let recording = search.recording();
            let (sent, wanted) = (search.now, must_show.clone());
            let is_placed = (self.is_monotonic() || (is_for_unplaced && self.is_session()))
                && purpose == Purpose::Write
                && !self.shared().view.load().is_lone();
            let untimed = Some(sent).filter(|_| !is_timed);
            let target = Target { purpose, access: search.access, must_show, wait_until, is_placed, untimed };
            let unanswered = Unanswered::of(self, statement, search.access, sent);
            let lost = pin!(self.lost(node, purpose, search.access, epoch));
            let running = pin!(operation.run(lease, target));
            let over = pin!(over(ends));
            let end = pin!(either(lost, over));
            let Some(result) = unless(end, running).await else {
                if ends.is_some_and(|ends| ends <= Instant::now()) {
                    return Err(timed_out(&node.name, Outcome::MayHaveRun));
                }
                let mut what =
                    format!("{}: went silent or lost its role while it ran a statement", node.name);
                if !search.access.is_read() {
                    what.push_str(", which may have taken effect: look before it is sent again");
                }
                let error = Error::new(ErrorKind::ConnectionLost, Outcome::MayHaveRun, what).at(&node.name);
                if !search.access.is_read() {
                    return Err(error);
                }
                search.give_up_on(node.id, purpose, error)?;
                search.look_at_the_clock();
                continue;
            };
            match result {
                Ok(answer)
                    if wanted.is_some() && !search.has_proved(node, epoch, sent, answer.position.clone()) =>
                {
                    search.look_at_the_clock();
                }
                Ok(answer) => {
                    in_flight.answered(answer.at);
                    drop(recording);
                    if answer.is_other_role {
                        self.shared().nudge_all();
                    }
                    search.has_read(node, purpose, epoch, sent, answer.position.clone());
                    if let Some(unanswered) = unanswered {
                        let changes = self.changes_of(statement);
                        unanswered.acknowledged(answer.position, epoch, &changes);
                    }
                    return Ok(answer.value);
                }
                Err(error) => {
                    let failure = self.shared().backend.failure(&error).kind;
                    if let (FailureKind::Behind, Some(wanted)) = (failure, wanted) {
                        in_flight.answered(None);
                        search.is_behind(node, wanted, sent);
                        continue;
                    }
                    if let Some(unanswered) = unanswered {
                        unanswered.failed(failure);
                    }
                    let mut error = Error::from_backend(
                        &*self.shared().backend,
                        &node.name,
                        "running a statement",
                        error,
                    );
                    if statement.may_commit_midway() {
                        error = error.after_a_part_may_have_run();
                    }
                    drop(in_flight);
                    search.look_at_the_clock();
                    search.after_failure(node, purpose, failure, error, statement)?;
                }
            }
        }
    }
}

impl<B: Backend> Handle<B> {
    /// What a statement that was run may have changed.
    fn changes_of(&self, statement: &Statement<'_>) -> Changes {
        match statement.text {
            Some(text) => self.changes(text, &self.classify(text)),
            None => Changes::Anything,
        }
    }

    /// Waits until there is no point in waiting for the node. A read is given up when the node is down. A write only when
    /// another server was adopted as the primary: one that is silent may only be slow, and giving up would leave the write unknown.
    async fn lost(&self, node: &Node<B>, purpose: Purpose, access: Access, epoch: Epoch) {
        self.shared()
            .wait_until(|view| {
                // What runs on one that was taken out may go on for a while.
                let Some(known) = view.of(node) else { return node.is_cut_off() };
                let is_down = known.health == Health::Down;
                // By the same name, too: then it is another server, and what runs here is on the one before.
                let is_replaced = view.epoch != epoch && view.primary.is_some();
                match purpose {
                    Purpose::Read => is_down,
                    Purpose::Write | Purpose::Probe => is_replaced || (access.is_read() && is_down),
                }
            })
            .await;
    }

    /// Runs a call on a lease that its caller keeps, unless the node loses the role that the lease was given for, or the limit of
    /// the handle's calls is over.
    ///
    /// # Errors
    ///
    /// Why it was given up.
    ///
    /// # Cancel safety
    ///
    /// As the call's.
    pub async fn while_current<T>(
        &self,
        lease: &NodeLease<B>,
        call: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, GivenUp> {
        let ends = self.end_of_call();
        let lost = pin!(self.shared().wait_until(|_| lease.is_evicted()));
        let over = pin!(over(ends));
        let end = pin!(either(lost, over));
        unless(end, call).await.ok_or_else(|| {
            let is_over = ends.is_some_and(|ends| ends <= Instant::now());
            if is_over { GivenUp::TimedOut } else { GivenUp::Replaced }
        })
    }
}

/// Why a call on a lease was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "backends say something else for each")]
pub enum GivenUp {
    /// The node lost the role that the lease was given for.
    Replaced,
    /// It took longer than it may.
    TimedOut,
}

/// What is said when a call took longer than it may.
#[must_use]
pub fn timed_out(node: &Arc<str>, outcome: Outcome) -> Error {
    let what = format!("{node}: no answer within the limit of the call; it is cancelled");
    Error::new(ErrorKind::Timeout, outcome, what).at(node)
}

/// Ends with the limit of a call.
async fn over(ends: Option<Instant>) {
    match ends {
        Some(ends) => sleep_until(ends).await,
        None => pending().await,
    }
}

/// Ends with the first of two.
async fn either(
    mut first: Pin<&mut impl Future<Output = ()>>,
    mut second: Pin<&mut impl Future<Output = ()>>,
) {
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await;
}

/// Runs `call`, unless `end` comes first: `None` then. When both are ready the call wins. Takes them pinned, since a
/// future that is handed over by value is stored twice.
pub(crate) async fn unless<T>(
    mut end: Pin<&mut impl Future<Output = ()>>,
    mut call: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// A write that was sent and not answered yet. Dropped so, it may have run.
struct Unanswered<'a, B: Backend> {
    handle: &'a Handle<B>,
    writes: Writes,
    definitions: Definitions,
    begun: Instant,
    is_settled: bool,
}

impl<'a, B: Backend> Unanswered<'a, B> {
    fn of(handle: &'a Handle<B>, statement: &Statement<'_>, access: Access, begun: Instant) -> Option<Self> {
        let is_noted_here = statement.writes != Writes::ByTheCaller && !access.is_read();
        // Not `then_some`: what it drops unasked would count as a write.
        let Statement { writes, definitions, .. } = *statement;
        is_noted_here.then(|| Self { handle, writes, definitions, begun, is_settled: false })
    }

    fn acknowledged(mut self, position: Option<B::Position>, epoch: Epoch, changes: &Changes) {
        self.is_settled = true;
        self.note_definitions();
        match position {
            Some(position) => self.handle.wrote_at(position, epoch, self.begun.into_std(), changes),
            None => self.handle.wrote(),
        }
    }

    fn failed(mut self, failure: FailureKind) {
        self.is_settled = match failure {
            FailureKind::NotSent => true,
            FailureKind::Rejected
            | FailureKind::ReadOnly
            | FailureKind::Conflict
            | FailureKind::Denied
            | FailureKind::Behind => self.writes == Writes::WithTheAnswer,
            FailureKind::ConnectionLost => false,
        };
    }
}

impl<B: Backend> Unanswered<'_, B> {
    fn note_definitions(&self) {
        if self.definitions == Definitions::Perhaps {
            self.handle.defined();
        }
    }
}

impl<B: Backend> Drop for Unanswered<'_, B> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.note_definitions();
            self.handle.wrote();
        }
    }
}
