//! The pool's state: plain data and synchronous transitions. No awaits, no tasks, and no clock: `now` comes in.
//!
//! One mutex holds all of it. Nothing that can block, wake a task, run a manager's code or drop a connection may happen under it,
//! so transitions hand back what has to be woken, run or dropped. Of foreign code only the clone of a caller's waker runs there, and may panic.
//!
//! What is known of one connection travels with it. So a checkout without a crowd touches the top of the idle ones and a few counts, which
//! matters most when two threads take turns at it.

mod classes;
mod connects;
mod deliveries;
mod serve;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::codel::Codel;
use crate::config::Limits;
use crate::handoff::Handoff;
use crate::{AcquireError, CloseReason, ConfigError, Counters, Status};
use classes::Classes;
use connects::Health;
pub(crate) use connects::{AfterFailure, Ticket};
pub(crate) use deliveries::Deliveries;
pub(crate) use upkeep::Chores;

/// A connection and what the pool knows of it.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) connection: C,
    pub(crate) generation: u64,
    pub(crate) opened: Instant,
    pub(crate) uses: u64,
    /// That of the state when it last saw the connection: while it is the same, nobody has anything against it.
    pub(crate) epoch: u64,
    /// When to look for a successor.
    pub(crate) due: Option<Instant>,
    /// When it may not be used any more.
    expires: Option<Instant>,
    /// It was counted among those that want a successor.
    wants_successor: bool,
    /// When it was last seen to work.
    pub(crate) proven: Instant,
    /// Since when it rests.
    pub(crate) rests_since: Instant,
    /// For which class of callers it is out.
    class: usize,
    /// Its number among those that are out, if that is looked after.
    lent: Option<u64>,
    /// Whether it is being checked to keep it alive, and not for somebody who waits.
    is_kept_alive: bool,
}

impl<C> Entry<C> {
    #[inline]
    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// How long fewer may rest than are to, before others are opened: most leases are back sooner.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// An epoch that is never the current one.
const OUTDATED: u64 = u64::MAX;

/// With a lifetime of so long it does not matter whether it ends a little later.
const LONG_LIFE: Duration = Duration::from_secs(5 * 60);

/// A connection that is out of the state's hands.
pub(crate) type Loan<C> = Box<Entry<C>>;

/// Who asks for a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) class: usize,
    pub(crate) asked: Instant,
    pub(crate) deadline: Instant,
    pub(crate) site: &'static Location<'static>,
    /// Whether it comes before all others: what it was handed before was of no use.
    pub(crate) is_first: bool,
}

/// Who waits, and where it looks for what came of waiting.
pub(crate) type Place<C, E> = Arc<Handoff<Caller, Outcome<C, E>>>;

/// A connection that is out for all to see for how long.
#[derive(Clone, Copy, Debug)]
struct Lent {
    site: &'static Location<'static>,
    since: Instant,
}

/// Why a caller gets nothing. In a box, or what every caller is handed would be as large as an error.
pub(crate) type Refusal<E> = Box<AcquireError<E>>;

/// What a caller gets in the end.
pub(crate) type Outcome<C, E> = Result<Loan<C>, Refusal<E>>;

/// What a caller gets at first.
#[derive(Debug)]
pub(crate) enum Admission<C, E: Error + 'static> {
    /// An idle connection.
    Loan(Loan<C>),
    /// An idle connection that may not be handed out any more.
    Stale(Loan<C>),
    /// A place in the queue.
    Queued(Place<C, E>),
    /// Nothing.
    Refused(Refusal<E>),
}

/// What becomes of a connection that is free.
#[derive(Debug)]
pub(crate) enum Placement<C> {
    /// It rests, or went to one of those who are woken.
    Placed,
    /// It is to be dropped, and its place is free behind that.
    Closed(Loan<C>, CloseReason),
}

/// How a user leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Clean,
    /// To be closed.
    Close(CloseReason),
}

/// Two cores take turns at it: what changes all the time is here, on few cache lines, and what never changes is behind `limits`, where both keep
/// it.
#[derive(Debug)]
pub(crate) struct State<C, E: Error + 'static> {
    is_closed: bool,
    is_plan_earlier: bool,
    /// Whether classes are told apart at all.
    has_classes: bool,
    /// The newest last, and the newest is handed out first, so that surplus sinks.
    idle: Vec<Loan<C>>,
    waiting: usize,
    /// All that count against `max_size`: idle, out, being opened, checked, reset, closed.
    size: usize,
    max_size: usize,
    connecting: usize,
    checking: usize,
    /// Those of them that nobody waits for.
    keeping_alive: usize,
    resetting: usize,
    /// Connections that are being dropped, whose places are not free before that.
    closing: usize,
    /// Connections that went when they were due, and have to be opened again.
    owed: usize,
    /// Connections that are due and want a successor.
    wanting: usize,
    /// What new connections are of.
    generation: u64,
    /// Counts what makes the state look at connections anew: evictions, other sizes, the end.
    epoch: u64,
    /// Handed out so far.
    acquired: u64,
    /// When upkeep runs next.
    planned: Option<Instant>,
    limits: Box<Limits>,
    rest: Box<Rest<C, E>>,
}

/// What a checkout without a crowd does not touch.
#[derive(Debug)]
struct Rest<C, E: Error + 'static> {
    /// A list for each class.
    waiters: Box<[VecDeque<Place<C, E>>]>,
    classes: Classes,
    /// Connections that are out, the longest first, if anybody wants to know.
    lent: BTreeMap<u64, Lent>,
    next_lent: u64,
    /// Connects under way that renew a connection.
    renewing: usize,
    /// Whether the last check failed: then those under way are not counted on.
    is_check_failing: bool,
    /// Successors that are there, while those that they succeed are not.
    successors: usize,
    health: Health<E>,
    /// Since when fewer rest than are to.
    short_until: Option<Instant>,
    /// When somebody began to wait last, and when the lifetimes of all that are out were looked at.
    last_asked: Instant,
    last_looked: Instant,
    codel: Option<Codel>,
    random: fastrand::Rng,
    counters: Counters,
}

impl<C, E: Error + 'static> State<C, E> {
    pub(crate) fn new(limits: Box<Limits>, now: Instant) -> Self {
        let reserved = limits.classes.iter().map(|class| class.reserved);
        let rest = Rest {
            waiters: limits.classes.iter().map(|_| VecDeque::new()).collect(),
            classes: Classes::new(reserved),
            lent: BTreeMap::new(),
            next_lent: 0,
            renewing: 0,
            is_check_failing: false,
            successors: 0,
            health: Health::Well,
            short_until: None,
            last_asked: now,
            last_looked: now,
            codel: limits.shedding.map(|shedding| Codel::new(shedding, now)),
            random: limits.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            counters: Counters::default(),
        };
        Self {
            is_closed: false,
            is_plan_earlier: false,
            has_classes: limits.classes.len() > 1,
            idle: Vec::new(),
            waiting: 0,
            size: 0,
            max_size: limits.max_size,
            connecting: 0,
            checking: 0,
            keeping_alive: 0,
            resetting: 0,
            closing: 0,
            owed: 0,
            wanting: 0,
            generation: 0,
            epoch: 0,
            acquired: 0,
            planned: None,
            limits,
            rest: Box::new(rest),
        }
    }

    /// A newcomer takes an idle connection only when nobody of its class waits; otherwise it waits at the end.
    ///
    /// Its place may have been made before, without the lock.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        caller: &Caller,
        waker: &Waker,
        place: &mut Option<Place<C, E>>,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Admission<C, E> {
        let is_next =
            if self.has_classes { self.is_next(caller) } else { self.waiting == 0 || caller.is_first };
        let idle = if is_next { self.idle.pop() } else { None };
        if let Some(mut entry) = idle {
            if entry.has_expired(now) {
                self.enter(&mut entry, caller);
                return Admission::Stale(entry);
            }
            if !self.needs_check(&entry, now) {
                if let Some(codel) = &mut self.rest.codel {
                    codel.was_empty();
                }
                self.lease(&mut entry, caller, now);
                return Admission::Loan(entry);
            }
            self.idle.push(entry);
        }
        self.enqueue(caller, waker, place, now, out)
    }

    #[inline]
    fn needs_check(&self, entry: &Entry<C>, now: Instant) -> bool {
        let rested = now.saturating_duration_since(entry.proven);
        self.limits.check_after.is_some_and(|limit| rested > limit)
    }

    /// Whether a caller of that class may have an idle connection before all others.
    fn is_next(&self, caller: &Caller) -> bool {
        let is_first = self.rest.waiters[caller.class].is_empty() || caller.is_first;
        is_first && self.rest.classes.has_room(caller.class, self.max_size)
    }

    #[inline]
    fn enter(&mut self, entry: &mut Entry<C>, caller: &Caller) {
        if self.has_classes {
            self.rest.classes.enter(caller.class);
            entry.class = caller.class;
        }
    }

    #[inline]
    fn lease(&mut self, entry: &mut Entry<C>, caller: &Caller, now: Instant) {
        self.acquired += 1;
        entry.uses += 1;
        // Whoever gets one that is due looks at the clock before it is used. By then upkeep was there between when it was due and when it
        // expires.
        let is_due = entry.due.is_some_and(|due| due <= now);
        if self.limits.min_idle > 0 {
            // It may soon be back.
            self.note_shortage(now + SETTLED_AFTER);
        }
        entry.epoch = if is_due { OUTDATED } else { self.epoch };
        self.enter(entry, caller);
        if let Some(leak_after) = self.limits.leak_after {
            let number = self.rest.next_lent;
            self.rest.next_lent += 1;
            self.rest.lent.insert(number, Lent { site: caller.site, since: now });
            entry.lent = Some(number);
            self.plan(now + leak_after);
        }
    }

    #[inline(never)]
    fn enqueue(
        &mut self,
        caller: &Caller,
        waker: &Waker,
        place: &mut Option<Place<C, E>>,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Admission<C, E> {
        if self.is_closed {
            return Admission::Refused(Box::new(AcquireError::Closed));
        }
        self.rest.last_asked = self.rest.last_asked.max(now);
        if let Some(refusal) = self.refusal(caller, now) {
            return Admission::Refused(refusal);
        }
        // Before anything is counted: the clone of a waker may panic.
        let place = place.take().unwrap_or_else(|| Handoff::new(*caller, waker));
        self.waiting += 1;
        self.plan(caller.deadline);
        let waiters = &mut self.rest.waiters[caller.class];
        if caller.is_first {
            let asked_before = |other: &&Place<C, E>| other.who.is_first && other.who.asked <= caller.asked;
            let before = waiters.iter().take_while(asked_before).count();
            waiters.insert(before, Arc::clone(&place));
        } else {
            self.rest.counters.waited += 1;
            waiters.push_back(Arc::clone(&place));
        }
        self.serve(now, out);
        Admission::Queued(place)
    }

    /// Why a caller may not even wait.
    #[inline]
    fn refusal(&mut self, caller: &Caller, now: Instant) -> Option<Refusal<E>> {
        // Who was in line already stays in it.
        if caller.is_first {
            return None;
        }
        if let Some(most) = self.limits.max_waiting {
            if let Some(waiting) = self.waiting_in_vain(caller.class).filter(|waiting| *waiting >= most) {
                return Some(Box::new(AcquireError::QueueFull { waiting }));
            }
        }
        self.why_down(now)
    }

    /// Counts a caller that is refused for good.
    pub(crate) fn count_refused(&mut self, refusal: &AcquireError<E>) {
        match refusal {
            AcquireError::QueueFull { .. } => self.rest.counters.queue_full += 1,
            AcquireError::Down { .. } => self.rest.counters.failed_fast += 1,
            _ => {}
        }
    }

    /// The only one that waited got at once what a thread had kept at hand: it did not wait.
    pub(crate) const fn count_served_at_once(&mut self) {
        self.rest.counters.waited -= 1;
        self.rest.counters.handed_off -= 1;
    }

    /// Counts a caller that left when it had been handed a connection and not seen it.
    pub(crate) const fn count_left(&mut self) {
        self.rest.counters.cancelled += 1;
    }

    /// A waiter leaves its list, unless it left it already: then what it gets is on its way.
    pub(crate) fn leave(&mut self, place: &Place<C, E>) {
        let waiters = &mut self.rest.waiters[place.who.class];
        // From both ends: those who waited the longest give up, and those who came last.
        let last = waiters.len().saturating_sub(1);
        let mut from_both_ends = (0..waiters.len().div_ceil(2)).flat_map(|at| [at, last - at]);
        if let Some(at) = from_both_ends.find(|at| Arc::ptr_eq(&waiters[*at], place)) {
            waiters.remove(at);
            self.waiting -= 1;
            self.rest.counters.cancelled += 1;
        }
    }

    /// A time at which a connection can go to one who waits, for who did not look at the clock: that is a tenth of the work in a
    /// crowd. It is when somebody asked last, so what depends on it is never taken for newer than it is. What has expired since, is
    /// found by who gets it.
    #[inline]
    pub(crate) fn time_at_hand(&self) -> Option<Instant> {
        (self.waiting > 0 && !self.is_timed()).then(|| self.rest.last_asked.max(self.rest.last_looked))
    }

    /// Whether it takes the exact time to hand a connection over.
    #[inline]
    fn is_timed(&self) -> bool {
        let limits = &self.limits;
        let is_short = limits.max_lifetime.is_some_and(|lifetime| lifetime < LONG_LIFE);
        self.has_classes || is_short || limits.leak_after.is_some() || limits.shedding.is_some()
    }

    /// A connection comes back.
    #[inline]
    pub(crate) fn release(
        &mut self,
        mut entry: Loan<C>,
        fate: Fate,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        self.returned(&mut entry);
        let placement = self.place(entry, fate, now, out);
        self.serve_class(now, out);
        placement
    }

    /// A connection comes back, and has to be reset before anybody gets it.
    pub(crate) fn release_soiled(
        &mut self,
        mut entry: Loan<C>,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Result<Loan<C>, (Loan<C>, CloseReason)> {
        self.returned(&mut entry);
        let reset = match self.why_close(&mut entry, now) {
            Some(reason) => {
                self.closed(&entry, reason);
                Err((entry, reason))
            }
            None => {
                self.resetting += 1;
                Ok(entry)
            }
        };
        self.serve_class(now, out);
        reset
    }

    /// A class has one connection less, so that it may have one of those that rest, though not the one that came back.
    #[inline]
    fn serve_class(&mut self, now: Instant, out: &mut Deliveries<C, E>) {
        if self.has_classes {
            self.serve(now, out);
        }
    }

    /// A user has it no more.
    #[inline]
    fn returned(&mut self, entry: &mut Entry<C>) {
        if self.has_classes {
            self.rest.classes.leave(entry.class);
        }
        if let Some(lent) = entry.lent.take() {
            self.rest.lent.remove(&lent);
        }
    }

    pub(crate) fn reset_done(
        &mut self,
        entry: Loan<C>,
        fate: Fate,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        self.resetting -= 1;
        self.place(entry, fate, now, out)
    }

    /// A check is over. A connection that nobody waits for rests on, since when it did.
    pub(crate) fn check_done(
        &mut self,
        mut entry: Loan<C>,
        fate: Fate,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        self.checking -= 1;
        if std::mem::take(&mut entry.is_kept_alive) {
            self.keeping_alive -= 1;
        } else {
            self.rest.is_check_failing = fate != Fate::Clean;
        }
        if self.waiting > 0 || fate != Fate::Clean {
            let placement = self.place(entry, fate, now, out);
            // Whoever waited for it may have another one.
            self.serve(now, out);
            return placement;
        }
        if let Some(reason) = self.why_close(&mut entry, now) {
            return self.close_one(entry, reason);
        }
        entry.proven = now;
        self.rest_on(entry)
    }

    /// A connection that a thread kept at hand comes back. It rests, since when it did; or goes to whoever waits, checked if it
    /// has to be.
    pub(crate) fn recalled(
        &mut self,
        mut entry: Loan<C>,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        self.returned(&mut entry);
        let placement = match self.why_close(&mut entry, now) {
            Some(reason) => self.close_one(entry, reason),
            None => self.rest_on(entry),
        };
        self.serve(now, out);
        placement
    }

    /// A connection comes back that was handed over, and of which nobody made use. It rests, since when it was in use before; or goes to
    /// whoever waits, checked if it has to be.
    pub(crate) fn not_used(
        &mut self,
        mut entry: Loan<C>,
        fate: Fate,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        // Together with those that threads hand out themselves it is right again.
        self.acquired = self.acquired.wrapping_sub(1);
        entry.uses -= 1;
        if let Fate::Close(reason) = fate {
            self.returned(&mut entry);
            let placement = self.close_one(entry, reason);
            self.serve_class(now, out);
            return placement;
        }
        entry.rests_since = entry.rests_since.max(entry.proven);
        self.recalled(entry, now, out)
    }

    /// Lets a connection rest among the others by the time since when it does.
    fn rest_on(&mut self, entry: Loan<C>) -> Placement<C> {
        let before = self.idle.iter().rposition(|other| other.rests_since <= entry.rests_since);
        self.plan_rest(&entry);
        self.idle.insert(before.map_or(0, |before| before + 1), entry);
        Placement::Placed
    }

    /// Finds a place for a connection that is free: the first waiter, or rest.
    #[inline]
    fn place(
        &mut self,
        mut entry: Loan<C>,
        fate: Fate,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Placement<C> {
        let reason = match fate {
            Fate::Clean => self.why_close(&mut entry, now),
            Fate::Close(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            return self.close_one(entry, reason);
        }
        entry.proven = now;
        let place = if self.waiting > 0 { self.next_served(now, out) } else { None };
        if let Some(place) = place {
            self.hand_over(place, entry, now, out);
            return Placement::Placed;
        }
        entry.rests_since = now;
        self.plan_rest(&entry);
        self.idle.push(entry);
        Placement::Placed
    }

    #[inline]
    fn plan_rest(&mut self, entry: &Entry<C>) {
        if let Some(timeout) = self.limits.idle_timeout {
            self.plan(entry.rests_since + timeout);
        }
        if let Some(rest) = self.limits.keepalive {
            self.plan(entry.proven + rest);
        }
    }

    /// Why a connection may not be used again.
    #[inline]
    fn why_close(&mut self, entry: &mut Entry<C>, now: Instant) -> Option<CloseReason> {
        if self.is_closed {
            Some(CloseReason::Closed)
        } else if entry.generation < self.generation {
            Some(CloseReason::Evicted)
        } else if self.size - self.closing > self.max_size {
            Some(CloseReason::Resized)
        } else if self.limits.max_uses.is_some_and(|most| entry.uses >= most) {
            Some(CloseReason::Used)
        } else if entry.due.is_some_and(|due| due <= now) && self.is_over(entry, now) {
            Some(CloseReason::Expired)
        } else {
            None
        }
    }

    #[inline(never)]
    fn close_one(&mut self, entry: Loan<C>, reason: CloseReason) -> Placement<C> {
        self.closed(&entry, reason);
        Placement::Closed(entry, reason)
    }

    /// A connection goes. Its place is free when it is [`gone`](Self::gone).
    fn closed(&mut self, entry: &Entry<C>, reason: CloseReason) {
        self.closing += 1;
        self.rest.counters.closed[reason as usize] += 1;
        if entry.wants_successor {
            self.wanting -= 1;
            // One that came for it is nobody's now.
            self.rest.successors = self.rest.successors.min(self.wanting);
        }
    }

    /// A connection that was closed is dropped, and its place free.
    pub(crate) const fn gone(&mut self) {
        self.closing -= 1;
        self.size -= 1;
    }

    /// Whether a connection that was handed over is still good to use.
    pub(crate) fn is_still_good(&self, entry: &Entry<C>, now: Instant) -> bool {
        !self.is_closed && entry.generation >= self.generation && !entry.has_expired(now)
    }

    /// Whether fewer rest than are to.
    #[inline]
    fn is_short_of_idle(&self) -> bool {
        self.idle.len() + self.keeping_alive < self.limits.min_idle
    }

    /// Whether threads may keep at hand what is missing among those that rest.
    #[inline]
    pub(crate) fn misses_idle(&self, now: Instant) -> bool {
        self.limits.min_idle > 0
            && self.is_short_of_idle()
            && self.rest.short_until.is_none_or(|until| until <= now)
    }

    /// Notes from when on it counts that fewer rest than are to, if they do.
    #[inline]
    fn note_shortage(&mut self, from: Instant) {
        // Most pools end here.
        if self.limits.min_idle == 0 {
            return;
        }
        if !self.is_short_of_idle() {
            self.rest.short_until = None;
        } else if self.rest.short_until.is_none() {
            self.rest.short_until = Some(from);
            self.plan(from);
        }
    }

    /// Takes a connection that is out away for good, in the hands of its user.
    pub(crate) fn detach(&mut self, entry: &mut Entry<C>, now: Instant, out: &mut Deliveries<C, E>) {
        self.returned(entry);
        self.closed(entry, CloseReason::Detached);
        self.gone();
        self.serve_class(now, out);
    }

    /// Retires every connection of an earlier generation: idle ones now, the others when they come back.
    #[must_use]
    pub(crate) fn evict_before(&mut self, generation: u64) -> Vec<Loan<C>> {
        if generation <= self.generation {
            return Vec::new();
        }
        self.generation = generation;
        self.epoch += 1;
        self.close_idle(CloseReason::Evicted)
    }

    fn close_idle(&mut self, reason: CloseReason) -> Vec<Loan<C>> {
        let idle = std::mem::take(&mut self.idle);
        idle.iter().for_each(|entry| self.closed(entry, reason));
        idle
    }

    /// Hands out nothing more. Gives the idle connections, and wakes whoever waits.
    #[must_use]
    pub(crate) fn close(&mut self, out: &mut Deliveries<C, E>) -> Vec<Loan<C>> {
        self.is_closed = true;
        self.epoch += 1;
        self.refuse_all(&AcquireError::Closed, out);
        self.close_idle(CloseReason::Closed)
    }

    /// Sets the most connections. Idle ones that are too many go now, the oldest first; others when they come back.
    pub(crate) fn resize(
        &mut self,
        max_size: usize,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> Result<Vec<Loan<C>>, ConfigError> {
        self.limits.check_size(max_size)?;
        self.max_size = max_size;
        self.epoch += 1;
        let surplus = (self.size - self.closing).saturating_sub(max_size).min(self.idle.len());
        let closed: Vec<_> = self.idle.drain(..surplus).collect();
        closed.iter().for_each(|entry| self.closed(entry, CloseReason::Resized));
        self.serve(now, out);
        Ok(closed)
    }

    pub(crate) const fn set_max_waiting(&mut self, most: Option<usize>) {
        self.limits.max_waiting = most;
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether a closed pool has no connection left.
    #[inline]
    pub(crate) const fn is_drained(&self) -> bool {
        self.is_closed && self.size == 0
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    #[inline]
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters { acquired: self.acquired, ..self.rest.counters.clone() }
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            max_size: self.max_size,
            size: self.size,
            idle: self.idle.len(),
            connecting: self.connecting,
            checking: self.checking,
            resetting: self.resetting,
            closing: self.closing,
            waiting: self.waiting,
        }
    }

    /// Sees to it that upkeep runs at `at`, or before.
    #[inline]
    fn plan(&mut self, at: Instant) {
        if self.planned.is_none_or(|planned| at < planned) {
            self.planned = Some(at);
            self.is_plan_earlier = true;
        }
    }

    /// Whether upkeep has to be told that it runs earlier than it thought.
    #[inline]
    pub(crate) const fn take_plan(&mut self) -> bool {
        std::mem::replace(&mut self.is_plan_earlier, false)
    }
}

#[cfg(test)]
mod tests;
