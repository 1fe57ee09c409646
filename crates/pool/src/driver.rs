//! The driver: takes the state's lock, runs connects, checks and resets in tasks, and sees to upkeep.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use crate::config::{AfterConnect, DEFAULT_CLASS, Limits, Listener, Timeouts};
use crate::ended::Ended;
use crate::panics::contain;
use crate::parking::{Apart, Parked, Parking};
use crate::pool::class_of;
use crate::rt::{AtomicUsize, Home, Mutex, MutexGuard, Notice, now, sleep_until};
use crate::state::{AfterFailure, Chores, Deliveries, Fate, Loan, Placement, State, Ticket};
use crate::{CloseReason, ConnectError, Event, Manager, Returned, Severity, Snapshot};

pub(crate) type LockedState<M> = State<<M as Manager>::Connection, <M as Manager>::Error>;

type Out<M> = Deliveries<<M as Manager>::Connection, <M as Manager>::Error>;
type Connection<M> = <M as Manager>::Connection;
/// What is to be dropped, and why.
type Closed<M> = Vec<(Loan<Connection<M>>, CloseReason)>;

pub(crate) struct Shared<M: Manager> {
    pub(crate) manager: M,
    pub(crate) built: Instant,
    pub(crate) timeouts: Timeouts,
    classes: Box<[&'static str]>,
    pub(crate) default_class: usize,
    after_connect: Option<AfterConnect<M>>,
    listener: Option<Listener>,
    /// Tasks run here, so that a lease may be dropped outside a runtime.
    pub(crate) home: Home,
    parking: Parking<M::Connection>,
    state: Apart<Mutex<LockedState<M>>>,
    /// Told when upkeep has to run earlier than it thought, or not any more.
    upkeep: Arc<Notice>,
    /// Told when the last connection of a closed pool is gone.
    pub(crate) drained: Notice,
    /// Told when what still runs has to stop, and above zero then.
    aborted: Notice,
    is_aborted: AtomicUsize,
}

impl<M: Manager> Shared<M> {
    pub(crate) fn new(
        manager: M,
        limits: Limits,
        timeouts: Timeouts,
        after_connect: Option<AfterConnect<M>>,
        listener: Option<Listener>,
    ) -> Arc<Self> {
        let classes: Box<[_]> = limits.classes.iter().map(|class| class.name).collect();
        let default_class = class_of(&classes, DEFAULT_CLASS);
        let this = Arc::new(Self {
            manager,
            built: now(),
            timeouts,
            classes,
            default_class,
            after_connect,
            listener,
            home: Home::current(),
            parking: Parking::new(&limits),
            state: Apart(Mutex::new(State::new(Box::new(limits), now()))),
            upkeep: Arc::new(Notice::new()),
            drained: Notice::new(),
            aborted: Notice::new(),
            is_aborted: AtomicUsize::new(0),
        });
        this.home.spawn(upkeep(Ends(Arc::downgrade(&this)), Arc::clone(&this.upkeep)));
        this
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LockedState<M>> {
        // No transition panics half-way, so a poisoned lock still guards a whole state.
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which class a name stands for.
    pub(crate) fn class(&self, name: &str) -> usize {
        class_of(&self.classes, name)
    }

    pub(crate) fn tell_upkeep(&self) {
        self.upkeep.notify_one();
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(listener) = &self.listener {
            // Whoever listens must not cost the pool a place.
            contain(|| listener(event));
        }
    }

    /// Drops a connection, whose place is free only behind that: there are never more than may be.
    fn discard(this: &Arc<Self>, loan: Loan<M::Connection>, reason: CloseReason) {
        this.bury(loan, reason);
        let mut state = this.lock();
        state.gone();
        Self::follow(this, state, now());
    }

    pub(crate) fn discard_all(this: &Arc<Self>, loans: Vec<Loan<M::Connection>>, reason: CloseReason) {
        loans.into_iter().for_each(|loan| Self::discard(this, loan, reason));
    }

    /// A panic over a connection that goes anyway costs nothing.
    fn bury(&self, mut loan: Loan<M::Connection>, reason: CloseReason) {
        contain(|| self.manager.closing(&mut loan.connection));
        contain(|| drop(loan));
        self.tell(&Event::Closed { reason });
    }

    /// Whether a connection that was handed over may still be used, as far as the pool knows: it may have been on its way for long.
    #[inline]
    pub(crate) fn is_evicted(&self, loan: &Loan<M::Connection>) -> bool {
        // Without the lock as long as the state has not looked at its connections anew.
        self.parking.is_outdated(loan.epoch) && loan.generation < self.lock().generation()
    }

    pub(crate) fn is_still_good(&self, loan: &Loan<M::Connection>) -> bool {
        !self.parking.is_outdated(loan.epoch) || self.lock().is_still_good(loan, now())
    }

    /// Whether a connection may be handed out, by what the manager says.
    #[inline]
    pub(crate) fn is_open(&self, connection: &M::Connection) -> bool {
        contain(|| self.manager.is_open(connection)).unwrap_or(false)
    }

    /// Does what has to follow a transition: tells upkeep, opens connections, and says that a closed pool is empty.
    ///
    /// Takes the lock that the transition was made under.
    pub(crate) fn follow(this: &Arc<Self>, mut state: MutexGuard<'_, LockedState<M>>, now: Instant) {
        // None is opened for one that a thread keeps at hand.
        let taken_in = if state.misses_idle(now) { Some(this.take_in_apart(&mut state, now)) } else { None };
        // Most often there is none.
        let first = state.start_connect(now);
        let others: Vec<_> = match first {
            None => Vec::new(),
            Some(_) => std::iter::from_fn(|| state.start_connect(now)).collect(),
        };
        let hopeless = state.refuse_hopeless(now);
        let (is_earlier, is_drained) = (state.take_plan(), state.is_drained());
        this.parking.set_waiting(state.waiting());
        drop(state);
        if let Some(hopeless) = hopeless {
            Self::deliver(this, hopeless);
        }
        if is_earlier {
            this.upkeep.notify_one();
        }
        if is_drained {
            this.drained.notify_waiters();
        }
        for ticket in first.into_iter().chain(others) {
            this.home.spawn(connect(Place {
                shared: Arc::clone(this),
                ticket: Some(ticket),
                has_begun: false,
            }));
        }
        if let Some((out, closed)) = taken_in {
            Self::deliver(this, out);
            closed.into_iter().for_each(|(loan, reason)| Self::discard(this, loan, reason));
        }
    }

    #[cold]
    fn take_in_apart(&self, state: &mut LockedState<M>, now: Instant) -> (Out<M>, Closed<M>) {
        let (mut out, mut closed) = (Deliveries::new(), Vec::new());
        self.take_in(state, &mut out, &mut closed, now);
        (out, closed)
    }

    /// Takes what threads kept at hand into the state. Gives how many.
    fn take_in(
        &self,
        state: &mut LockedState<M>,
        out: &mut Out<M>,
        closed: &mut Closed<M>,
        now: Instant,
    ) -> usize {
        let mut count = 0;
        for loan in self.parking.recall() {
            count += 1;
            if let Placement::Closed(loan, reason) = state.recalled(loan, now, out) {
                closed.push((loan, reason));
            }
        }
        count
    }

    /// A connection comes back.
    #[inline]
    pub(crate) fn take_back(this: &Arc<Self>, mut loan: Loan<M::Connection>, now: impl FnOnce() -> Instant) {
        let returned = contain(|| this.manager.returned(&mut loan.connection));
        match returned {
            Some(Returned::Clean) => Self::rest(this, loan, now),
            Some(Returned::Broken) | None => Self::release(this, loan, Fate::Close(CloseReason::Broken)),
            Some(Returned::Soiled) => Self::reset(this, loan),
        }
    }

    /// A connection that this thread kept at hand, if there is one.
    #[inline]
    pub(crate) fn take_parked(&self, now: Instant) -> Option<Loan<M::Connection>> {
        self.parking.take(now)
    }

    /// A clean connection stays with this thread, or goes to whoever waits, or to the others.
    #[inline]
    fn rest(this: &Arc<Self>, mut loan: Loan<M::Connection>, now: impl FnOnce() -> Instant) {
        if this.is_crowded() {
            match Self::hand_on(this, loan) {
                None => return,
                Some(back) => loan = back,
            }
        }
        let (now, epoch) = (now(), loan.epoch);
        match this.parking.park(loan, now) {
            Parked::Not(loan) => Self::release_at(this, loan, Fate::Clean, now),
            Parked::Kept => {
                if this.parking.is_wanted(epoch) {
                    Self::recall(this, now);
                }
            }
            Parked::InsteadOf(older) => {
                // It rests since when it was parked.
                let mut out = Deliveries::new();
                let mut state = this.lock();
                let placement = state.recalled(older, now, &mut out);
                Self::settle(this, state, placement, out, now);
                if this.parking.is_wanted(epoch) {
                    Self::recall(this, now);
                }
            }
        }
    }

    /// Gives a clean connection to one who waits, without a look at the clock. Gives it back where it takes one.
    fn hand_on(this: &Arc<Self>, loan: Loan<M::Connection>) -> Option<Loan<M::Connection>> {
        let state = this.lock();
        let Some(now) = state.time_at_hand() else { return Some(loan) };
        Self::release_in(this, state, loan, Fate::Clean, now);
        None
    }

    pub(crate) fn release(this: &Arc<Self>, loan: Loan<M::Connection>, fate: Fate) {
        Self::release_at(this, loan, fate, now());
    }

    /// A connection comes back that was handed over and not used.
    pub(crate) fn not_used(this: &Arc<Self>, loan: Loan<M::Connection>, fate: Fate) {
        let (now, mut out) = (now(), Deliveries::new());
        let mut state = this.lock();
        let placement = state.not_used(loan, fate, now, &mut out);
        Self::settle(this, state, placement, out, now);
    }

    fn release_at(this: &Arc<Self>, loan: Loan<M::Connection>, fate: Fate, now: Instant) {
        Self::release_in(this, this.lock(), loan, fate, now);
    }

    fn release_in(
        this: &Arc<Self>,
        mut state: MutexGuard<'_, LockedState<M>>,
        loan: Loan<M::Connection>,
        fate: Fate,
        now: Instant,
    ) {
        let mut out = Deliveries::new();
        let placement = state.release(loan, fate, now, &mut out);
        Self::settle(this, state, placement, out, now);
    }

    /// Ends a transition that found a place for a connection.
    #[inline]
    fn settle(
        this: &Arc<Self>,
        state: MutexGuard<'_, LockedState<M>>,
        placement: Placement<M::Connection>,
        out: Out<M>,
        now: Instant,
    ) {
        Self::follow(this, state, now);
        Self::deliver(this, out);
        if let Placement::Closed(loan, reason) = placement {
            Self::discard(this, loan, reason);
        }
    }

    /// Gives waiters what they get. What one that has left would have had goes on.
    #[inline]
    pub(crate) fn deliver(this: &Arc<Self>, out: Out<M>) {
        out.deliver(
            |loan| Self::check(this, loan),
            |(loan, reason)| Self::discard(this, loan, reason),
            |loan| {
                this.lock().count_left();
                Self::not_used(this, loan, Fate::Clean);
            },
        );
    }

    #[cold]
    fn recall(this: &Arc<Self>, now: Instant) {
        Self::gather(this, this.lock(), Deliveries::new(), now);
    }

    /// Takes what threads kept at hand into the state, and then does what has to follow. Whoever waits is known from here on. Gives how
    /// many it took.
    pub(crate) fn gather(
        this: &Arc<Self>,
        mut state: MutexGuard<'_, LockedState<M>>,
        mut out: Out<M>,
        now: Instant,
    ) -> usize {
        this.parking.set_waiting(state.waiting());
        this.parking.set_epoch(state.epoch());
        let mut closed = Vec::new();
        let count = this.take_in(&mut state, &mut out, &mut closed, now);
        Self::gathered(this, state, out, closed, now);
        count
    }

    fn gathered(
        this: &Arc<Self>,
        state: MutexGuard<'_, LockedState<M>>,
        out: Out<M>,
        closed: Closed<M>,
        now: Instant,
    ) {
        Self::follow(this, state, now);
        Self::deliver(this, out);
        closed.into_iter().for_each(|(loan, reason)| Self::discard(this, loan, reason));
    }

    /// Somebody waits now. The first to wait gets what threads kept at hand. Says whether it may have been served.
    pub(crate) fn queued(
        this: &Arc<Self>,
        mut state: MutexGuard<'_, LockedState<M>>,
        mut out: Out<M>,
        now: Instant,
    ) -> bool {
        if !this.parking.is_quiet() {
            let may_be_served = !out.is_empty();
            Self::follow(this, state, now);
            Self::deliver(this, out);
            return may_be_served;
        }
        this.parking.set_waiting(state.waiting());
        this.parking.set_epoch(state.epoch());
        let (is_alone, mut closed) = (state.waiting() == 1, Vec::new());
        this.take_in(&mut state, &mut out, &mut closed, now);
        if is_alone && state.waiting() == 0 {
            state.count_served_at_once();
        }
        Self::gathered(this, state, out, closed, now);
        true
    }

    /// Somebody is about to be refused. Says whether threads kept something at hand, which is in the state now and may do.
    pub(crate) fn refused(
        this: &Arc<Self>,
        state: MutexGuard<'_, LockedState<M>>,
        out: Out<M>,
        now: Instant,
    ) -> bool {
        if this.parking.is_quiet() {
            return Self::gather(this, state, out, now) > 0;
        }
        Self::follow(this, state, now);
        Self::deliver(this, out);
        false
    }

    /// Whether others wait already, as far as can be told without the lock.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.parking.has_waiting()
    }

    /// A connection stays with its user for good.
    pub(crate) fn detach(this: &Arc<Self>, loan: &mut Loan<M::Connection>) {
        let (now, mut out) = (now(), Deliveries::new());
        let mut state = this.lock();
        state.detach(loan, now, &mut out);
        Self::follow(this, state, now);
        Self::deliver(this, out);
        // A panic costs what it is about, and that is its user's now.
        contain(|| this.manager.detached(&mut loan.connection));
        this.tell(&Event::Closed { reason: CloseReason::Detached });
    }

    /// Looks after what is due.
    pub(crate) fn look_after(this: &Arc<Self>, now: Instant) {
        let mut state = this.lock();
        let chores = state.upkeep(now);
        // Threads have to know of the epoch by which connections are leased from here on, or they would keep none at hand.
        this.parking.set_epoch(state.epoch());
        drop(state);
        Self::do_chores(this, chores, now);
    }

    /// Does what upkeep found.
    fn do_chores(this: &Arc<Self>, chores: Chores<Connection<M>, M::Error>, now: Instant) {
        Self::follow(this, this.lock(), now);
        Self::deliver(this, chores.out);
        for (loan, reason) in chores.closed {
            Self::discard(this, loan, reason);
        }
        chores.checks.into_iter().for_each(|loan| Self::check(this, loan));
        for (site, held) in chores.leaks {
            this.tell(&Event::Leaked { site, held });
        }
    }

    fn reset(this: &Arc<Self>, loan: Loan<M::Connection>) {
        let now = now();
        let mut out = Deliveries::new();
        let mut state = this.lock();
        let reset = state.release_soiled(loan, now, &mut out);
        Self::follow(this, state, now);
        Self::deliver(this, out);
        match reset {
            Err((loan, reason)) => Self::discard(this, loan, reason),
            Ok(loan) => {
                let task = reset_in_task(Tended::new(this, loan, Tending::Reset));
                this.home.spawn(task);
            }
        }
    }

    pub(crate) fn check(this: &Arc<Self>, loan: Loan<M::Connection>) {
        this.home.spawn(check_in_task(Tended::new(this, loan, Tending::Check)));
    }

    /// Runs a manager's future within a limit, and until the pool is aborted. A panic ends there.
    async fn run<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Ended<T> {
        let mut work = Box::pin(work);
        let working = poll_fn(|context| {
            contain(|| work.as_mut().poll(context)).map_or(Poll::Ready(None), |polled| polled.map(Some))
        });
        let over = pin!(sleep_until(now() + limit));
        let mut aborted = pin!(self.aborted.notified());
        aborted.as_mut().enable();
        if self.is_aborted.load(Ordering::SeqCst) > 0 {
            return Ended::Aborted;
        }
        let ended = match select(working, select(over, aborted)).await {
            Either::Left((Some(value), _)) => Ended::With(value),
            Either::Left((None, _)) => Ended::Panicked,
            Either::Right((Either::Left(_), _)) => Ended::TimedOut,
            Either::Right((Either::Right(_), _)) => Ended::Aborted,
        };
        match contain(|| drop(work)) {
            Some(()) => ended,
            None => Ended::Panicked,
        }
    }

    /// Opens one connection, and runs the hook on it.
    async fn open(&self) -> Ended<Result<M::Connection, ConnectError<M::Error>>> {
        let open = async {
            let connection = self.manager.connect().await.map_err(ConnectError::Failed)?;
            let mut opened = Opened { manager: &self.manager, connection: Some(connection) };
            if let (Some(hook), Some(connection)) = (&self.after_connect, &mut opened.connection) {
                hook(connection).await.map_err(ConnectError::Failed)?;
            }
            let is_open = opened.connection.as_ref().is_some_and(|connection| self.is_open(connection));
            opened.connection.take_if(|_| is_open).ok_or(ConnectError::Closed)
        };
        self.run(self.timeouts.connect, open).await
    }

    /// Lets everything that still runs stop.
    pub(crate) fn abort(&self) {
        self.is_aborted.store(1, Ordering::SeqCst);
        self.aborted.notify_waiters();
    }

    /// How the pool stands, and what happened in it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let (parked, acquired) = self.parking.counts();
        let (mut status, mut counters) = (state.status(), state.counters());
        status.idle += parked;
        counters.acquired = counters.acquired.wrapping_add(acquired);
        Snapshot { status, counters }
    }

    pub(crate) fn close(this: &Arc<Self>) {
        let mut out = Deliveries::new();
        let mut state = this.lock();
        let idle = state.close(&mut out);
        Self::gather(this, state, out, now());
        Self::discard_all(this, idle, CloseReason::Closed);
        this.upkeep.notify_one();
    }
}

impl<M: Manager> Drop for Shared<M> {
    fn drop(&mut self) {
        // Nobody waits: who does has the pool.
        let idle = self.lock().close(&mut Deliveries::new());
        let parked: Vec<_> = self.parking.recall().collect();
        idle.into_iter().chain(parked).for_each(|loan| self.bury(loan, CloseReason::Closed));
        // It ends when it finds nothing to look after.
        self.upkeep.notify_one();
    }
}

/// A connection that is open and not taken in yet. Told to the manager when it is not going to be.
struct Opened<'m, M: Manager> {
    manager: &'m M,
    connection: Option<M::Connection>,
}

impl<M: Manager> Drop for Opened<'_, M> {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            contain(|| self.manager.closing(connection));
        }
    }
}

/// Opens a connection.
async fn connect<M: Manager>(mut place: Place<M>) {
    place.has_begun = true;
    let shared = Arc::clone(&place.shared);
    loop {
        let begun = now();
        let Some(ticket) = place.ticket.take() else { return };
        let confirmed = shared.lock().confirm_connect(ticket, begun);
        if confirmed.is_none() {
            return Shared::follow(&shared, shared.lock(), begun);
        }
        place.ticket = confirmed;
        let opened = shared.open().await;
        let error = match opened {
            Ended::With(Ok(connection)) => return place.connected(connection, begun),
            Ended::With(Err(error)) => error,
            Ended::Panicked => ConnectError::Panicked,
            Ended::TimedOut => ConnectError::TimedOut(shared.timeouts.connect),
            Ended::Aborted => return,
        };
        if place.failed(error) {
            return;
        }
    }
}

async fn reset_in_task<M: Manager>(mut tended: Tended<M>) {
    tended.has_begun = true;
    let shared = Arc::clone(&tended.shared);
    let Some(loan) = &mut tended.loan else { return };
    let reset =
        shared.run(shared.timeouts.reset, async { shared.manager.reset(&mut loan.connection).await }).await;
    tended.is_given_up = matches!(reset, Ended::Aborted);
    tended.is_good = match reset {
        Ended::With(Ok(())) => true,
        other => {
            other.tell(shared.timeouts.reset, |error| shared.tell(&Event::ResetFailed { error }));
            false
        }
    };
}

async fn check_in_task<M: Manager>(mut tended: Tended<M>) {
    tended.has_begun = true;
    let shared = Arc::clone(&tended.shared);
    let Some(loan) = &mut tended.loan else { return };
    let check =
        shared.run(shared.timeouts.check, async { shared.manager.check(&mut loan.connection).await }).await;
    tended.is_given_up = matches!(check, Ended::Aborted);
    tended.is_good = match check {
        Ended::With(Ok(())) => shared.is_open(&loan.connection),
        other => {
            other.tell(shared.timeouts.check, |error| shared.tell(&Event::CheckFailed { error }));
            false
        }
    };
}

/// What is done to a connection that nobody has.
#[derive(Clone, Copy, Debug)]
enum Tending {
    Reset,
    Check,
}

/// A connection that is being tended. Its place is settled when this is dropped, whatever way that comes about.
struct Tended<M: Manager> {
    shared: Arc<Shared<M>>,
    loan: Option<Loan<M::Connection>>,
    tending: Tending,
    is_good: bool,
    /// Whether it was given up, since the pool closes.
    is_given_up: bool,
    /// Whether its task was polled at all. One that was not had no runtime any more.
    has_begun: bool,
}

impl<M: Manager> Tended<M> {
    fn new(shared: &Arc<Shared<M>>, loan: Loan<M::Connection>, tending: Tending) -> Self {
        Self {
            shared: Arc::clone(shared),
            loan: Some(loan),
            tending,
            is_good: false,
            is_given_up: false,
            has_begun: false,
        }
    }
}

impl<M: Manager> Drop for Tended<M> {
    fn drop(&mut self) {
        let Some(loan) = self.loan.take() else { return };
        let shared = &self.shared;
        if !self.has_begun && !Home::is_torn_down() {
            // Or its waiters would have the next one checked, in a task that is dropped at once as well.
            Shared::close(shared);
        }
        let now = now();
        let mut out = Deliveries::new();
        let mut state = shared.lock();
        let fate = |reason| match (self.is_good, self.is_given_up) {
            (true, _) => Fate::Clean,
            (false, true) => Fate::Close(CloseReason::Closed),
            (false, false) => Fate::Close(reason),
        };
        let placement = match self.tending {
            Tending::Reset => state.reset_done(loan, fate(CloseReason::ResetFailed), now, &mut out),
            Tending::Check => state.check_done(loan, fate(CloseReason::CheckFailed), now, &mut out),
        };
        Shared::settle(shared, state, placement, out, now);
    }
}

/// Leave to open a connection. Given back when dropped, whatever way that comes about.
struct Place<M: Manager> {
    shared: Arc<Shared<M>>,
    ticket: Option<Ticket>,
    /// Whether its task was polled at all. One that was not had no runtime any more.
    has_begun: bool,
}

impl<M: Manager> Place<M> {
    fn connected(mut self, connection: M::Connection, begun: Instant) {
        let Some(ticket) = self.ticket.take() else { return };
        let (shared, now) = (&self.shared, now());
        // Before anybody can use it, and close it.
        shared.tell(&Event::Opened { took: now.saturating_duration_since(begun) });
        let mut out = Deliveries::new();
        let mut state = shared.lock();
        let (placement, old) = state.connected(ticket, connection, now, &mut out);
        Shared::settle(shared, state, placement, out, now);
        if let Some(old) = old {
            Shared::discard(shared, old, CloseReason::Expired);
        }
    }

    /// Whether this was the last try.
    fn failed(&mut self, error: ConnectError<M::Error>) -> bool {
        let Some(ticket) = self.ticket.take() else { return true };
        let (shared, now) = (&self.shared, now());
        let severity = match &error {
            ConnectError::Failed(error) => {
                let asked = contain(|| shared.manager.severity(error));
                asked.unwrap_or(Severity::Transient)
            }
            ConnectError::TimedOut(_) | ConnectError::Closed | ConnectError::Panicked => Severity::Transient,
        };
        let error = Arc::new(error);
        let mut out = Deliveries::new();
        let mut state = shared.lock();
        match state.connect_failed(ticket, &error, severity, now, &mut out) {
            AfterFailure::Refresh(ticket) => {
                drop(state);
                self.ticket = Some(ticket);
                shared.tell(&Event::ConnectFailed { error: &*error, retry_after: Duration::ZERO });
                false
            }
            AfterFailure::Wait(retry_after) => {
                Shared::follow(shared, state, now);
                Shared::deliver(shared, out);
                shared.tell(&Event::ConnectFailed { error: &*error, retry_after });
                true
            }
        }
    }
}

impl<M: Manager> Drop for Place<M> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut state = self.shared.lock();
            state.abandon_connect(ticket);
            let is_drained = state.is_drained();
            drop(state);
            // Not followed by another connect: where a runtime has shut down, each spawn drops its task at once.
            if is_drained {
                self.shared.drained.notify_waiters();
            }
            if !self.has_begun && !Home::is_torn_down() {
                Shared::close(&self.shared);
            }
        }
    }
}

/// Closes the pool when dropped: nobody looks after it any more, be it that its runtime has ended.
struct Ends<M: Manager>(Weak<Shared<M>>);

impl<M: Manager> Drop for Ends<M> {
    fn drop(&mut self) {
        if Home::is_torn_down() {
            return;
        }
        if let Some(shared) = self.0.upgrade() {
            Shared::close(&shared);
        }
    }
}

/// Does what is due, as long as the pool is open.
async fn upkeep<M: Manager>(pool: Ends<M>, notice: Arc<Notice>) {
    loop {
        let next = {
            let Some(shared) = pool.0.upgrade() else { return };
            match tend(&shared) {
                Tend::At(next) => next,
                Tend::NoMore => return,
            }
        };
        let noticed = pin!(notice.notified());
        match next {
            Some(next) => {
                select(pin!(sleep_until(next)), noticed).await;
            }
            None => noticed.await,
        }
    }
}

/// When upkeep runs next.
enum Tend {
    At(Option<Instant>),
    NoMore,
}

fn tend<M: Manager>(shared: &Arc<Shared<M>>) -> Tend {
    let now = now();
    // What threads kept at hand is looked after with the rest.
    Shared::recall(shared, now);
    Shared::look_after(shared, now);
    let mut state = shared.lock();
    if state.is_drained() {
        return Tend::NoMore;
    }
    let round = shared.parking.round().map(|round| now + round);
    Tend::At(state.plan_next(round, now))
}

#[cfg(all(test, not(shuttle)))]
mod tests;
