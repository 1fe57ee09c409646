//! Opening connections: when one is wanted, what follows from a failure, and how old ones are succeeded.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Deliveries, Entry, Fate, Placement, Refusal, State};
use crate::{AcquireError, CloseReason, ConnectError, Severity};

/// How opening connections goes.
#[derive(Debug)]
pub(super) enum Health<E: Error + 'static> {
    Well,
    /// The last tries failed.
    Failing {
        failures: u32,
        cause: Arc<ConnectError<E>>,
        retry_at: Instant,
        is_permanent: bool,
    },
}

/// Leave to open one connection. It counts against the size of the pool until it is handed back.
#[derive(Debug)]
pub(crate) struct Ticket {
    generation: u64,
    /// It is for the successor of a connection that is due.
    renews: bool,
    is_second_try: bool,
}

/// What to do after a connect that failed.
#[derive(Debug)]
pub(crate) enum AfterFailure {
    /// Try once more, at once.
    Refresh(Ticket),
    /// Nothing. It is tried again after so long, if somebody wants it.
    Wait(Duration),
}

/// How long callers may stay away until nobody tries to reach a dead server for them any more.
const INTEREST: Duration = Duration::from_secs(30);

impl<C, E: Error + 'static> State<C, E> {
    /// Gives leave to open a connection when one is wanted.
    #[inline]
    pub(crate) fn start_connect(&mut self, now: Instant) -> Option<Ticket> {
        self.note_shortage(now);
        // Most calls end here.
        let is_quiet = self.waiting == 0 && self.owed + self.wanting == 0;
        if is_quiet && !self.is_short_of_idle() && self.connecting == 0 && self.is_well() {
            return None;
        }
        if self.size >= self.max_size || self.connecting >= self.limits.max_connecting || self.is_closed {
            return None;
        }
        self.start_wanted(now)
    }

    #[inline]
    fn is_well(&self) -> bool {
        matches!(self.rest.health, Health::Well)
    }

    #[inline(never)]
    fn start_wanted(&mut self, now: Instant) -> Option<Ticket> {
        if let Health::Failing { retry_at, .. } = self.rest.health {
            // One at a time, after its pause.
            if self.connecting > 0 {
                return None;
            }
            if retry_at > now {
                // Only then: what is planned and not wanted would be planned anew with every run of upkeep.
                if self.wants_connect(now) {
                    self.plan(retry_at);
                }
                return None;
            }
        }
        let renews = if self.wanted(now) > self.provided() || self.probes(now) {
            false
        } else if self.unsucceeded() > 0 {
            self.rest.renewing += 1;
            true
        } else {
            return None;
        };
        self.connecting += 1;
        self.size += 1;
        Some(Ticket { generation: self.generation, renews, is_second_try: false })
    }

    /// How many of those who wait could have a connection if there was one.
    pub(super) fn callers(&self) -> usize {
        if self.has_classes {
            let waiting = self.rest.waiters.iter().map(VecDeque::len);
            self.rest.classes.admissible(waiting, self.max_size)
        } else {
            self.waiting.min(self.max_size.saturating_sub(self.out()))
        }
    }

    /// How many are handed out.
    fn out(&self) -> usize {
        self.size - self.idle.len() - self.connecting - self.checking - self.resetting - self.closing
    }

    /// How many of those who come before a newcomer wait in vain until one is given back; nothing if the newcomer does not.
    pub(super) fn waiting_in_vain(&self, class: usize) -> Option<usize> {
        if !self.has_classes {
            let free = self.max_size.saturating_sub(self.out());
            return self.waiting.checked_sub(free);
        }
        let served = |of: usize, more: usize| {
            let waiting = self.rest.waiters.iter().enumerate();
            let waiting = waiting.map(|(at, all)| if at <= of { all.len() } else { 0 });
            let waiting = waiting.enumerate().map(|(at, all)| if at == class { all + more } else { all });
            self.rest.classes.admissible(waiting, self.max_size)
        };
        let before: usize = self.rest.waiters[..=class].iter().map(VecDeque::len).sum();
        let served_before = served(class, 0);
        (served(class, 1) == served_before).then(|| before - served_before)
    }

    /// Whether another connection is wanted.
    fn wants_connect(&self, now: Instant) -> bool {
        self.wanted(now) > self.provided() || self.unsucceeded() > 0 || self.probes(now)
    }

    /// How many connections more would be of use now.
    fn wanted(&self, now: Instant) -> usize {
        self.callers() + self.short_of_idle(now).max(self.owed)
    }

    /// How many connections are to be opened so that enough rest: at once when there are too few at all, and for those that are out when
    /// they have been for a while.
    fn short_of_idle(&self, now: Instant) -> usize {
        let least = self.limits.min_idle;
        let is_settled = self.rest.short_until.is_some_and(|until| until <= now);
        if is_settled {
            least.saturating_sub(self.idle.len() + self.keeping_alive)
        } else {
            least.saturating_sub(self.size - self.connecting - self.closing)
        }
    }

    /// Connections that are due and have no successor, nor one under way.
    fn unsucceeded(&self) -> usize {
        self.wanting.saturating_sub(self.rest.renewing + self.rest.successors)
    }

    fn set_health(&mut self, health: Health<E>) -> Option<Arc<ConnectError<E>>> {
        match std::mem::replace(&mut self.rest.health, health) {
            Health::Well => None,
            Health::Failing { cause, .. } => Some(cause),
        }
    }

    /// How many connections are on their way to those who want some.
    fn provided(&self) -> usize {
        let checking = if self.rest.is_check_failing { 0 } else { self.checking - self.keeping_alive };
        self.connecting - self.rest.renewing + checking
    }

    /// Whether to try a server that is down for those who were refused and may come again.
    fn probes(&self, now: Instant) -> bool {
        self.is_down() && now.saturating_duration_since(self.rest.last_asked) < INTEREST
    }

    /// Whether connections fail to open and none is left that could come back.
    pub(super) fn is_down(&self) -> bool {
        !self.is_well() && self.size - self.closing == self.connecting
    }

    /// Refuses whoever waits for a server that is down and that nobody tries to reach before its pause is over.
    #[inline]
    pub(crate) fn refuse_hopeless(&mut self, now: Instant) -> Option<Deliveries<C, E>> {
        // Most calls end here.
        if self.waiting == 0 || self.connecting > 0 || self.size > self.closing {
            return None;
        }
        self.refuse_all_if_down(now)
    }

    #[inline(never)]
    fn refuse_all_if_down(&mut self, now: Instant) -> Option<Deliveries<C, E>> {
        let Health::Failing { cause, retry_at, .. } = &self.rest.health else { return None };
        if !self.limits.fail_fast || *retry_at <= now {
            return None;
        }
        let (cause, retry_after) = (Arc::clone(cause), retry_at.saturating_duration_since(now));
        self.rest.counters.failed_fast += self.waiting as u64;
        let mut out = Deliveries::new();
        self.refuse_all(&AcquireError::Down { cause, retry_after }, &mut out);
        Some(out)
    }

    /// Why a caller need not wait for a connection to be opened.
    #[inline]
    pub(super) fn why_down(&mut self, now: Instant) -> Option<Refusal<E>> {
        let Health::Failing { cause, retry_at, is_permanent, .. } = &self.rest.health else { return None };
        // One that rests may be good once it is checked, and one that is being checked soon.
        if !self.idle.is_empty() || self.checking > self.waiting {
            return None;
        }
        // When the pause is over and nobody tries, this caller's own try may be the one that succeeds.
        let is_tried = self.connecting > 0 || *retry_at > now;
        let is_hopeless = *is_permanent || (self.limits.fail_fast && self.is_down());
        if !is_hopeless || !is_tried {
            return None;
        }
        let retry_after = retry_at.saturating_duration_since(now);
        Some(Box::new(AcquireError::Down { cause: Arc::clone(cause), retry_after }))
    }

    /// Whether a connect that is about to begin is still wanted. The leave is given back if not.
    pub(crate) fn confirm_connect(&mut self, mut ticket: Ticket, now: Instant) -> Option<Ticket> {
        // It is counted among those that there are, and those that are on their way.
        let is_too_many = self.size - self.closing > self.max_size;
        let is_wanted = if ticket.renews {
            self.wanting.saturating_sub(self.rest.successors) >= self.rest.renewing
        } else {
            self.probes(now) || self.wanted(now) >= self.provided()
        };
        if is_wanted && !is_too_many && !self.is_closed {
            // What is opened from now on is none of those that were retired.
            ticket.generation = self.generation;
            return Some(ticket);
        }
        self.abandon_connect(ticket);
        None
    }

    /// A connect came to nothing.
    pub(crate) fn abandon_connect(&mut self, ticket: Ticket) {
        self.connecting -= 1;
        self.size -= 1;
        self.rest.renewing -= usize::from(ticket.renews);
    }

    /// A connection was opened. Gives, too, one that it succeeds, if such a one rests.
    pub(crate) fn connected(
        &mut self,
        ticket: Ticket,
        connection: C,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> (Placement<C>, Option<super::Loan<C>>) {
        self.connecting -= 1;
        self.rest.counters.opened += 1;
        if let Some(past) = self.set_health(Health::Well) {
            out.more().past = Some(past);
        }
        let due = self.limits.max_lifetime.map(|lifetime| {
            // A tenth to a fifth early, at random, so that connections opened together do not end together.
            now + lifetime.mul_f64(0.8 + 0.1 * self.rest.random.f64())
        });
        if let Some(due) = due {
            self.plan(due);
        }
        let entry = Box::new(Entry {
            connection,
            generation: ticket.generation,
            opened: now,
            uses: 0,
            epoch: self.epoch,
            due,
            expires: self.limits.max_lifetime.map(|lifetime| now + lifetime),
            wants_successor: false,
            proven: now,
            rests_since: now,
            class: 0,
            lent: None,
            is_kept_alive: false,
        });
        if !ticket.renews {
            self.owed = self.owed.saturating_sub(1);
            return (self.place(entry, Fate::Clean, now, out), None);
        }
        self.rest.renewing -= 1;
        if self.rest.successors < self.wanting {
            self.rest.successors += 1;
        }
        let placement = self.place(entry, Fate::Clean, now, out);
        if self.rest.successors == 0 {
            return (placement, None);
        }
        let old = self.idle.iter().position(|entry| entry.wants_successor).map(|at| self.idle.remove(at));
        if let Some(old) = &old {
            self.rest.successors -= 1;
            self.closed(old, CloseReason::Expired);
        }
        (placement, old)
    }

    /// Opening a connection failed. Everybody who waits is told when it cannot help to try again, or when no connection is
    /// out that could come back.
    pub(crate) fn connect_failed(
        &mut self,
        mut ticket: Ticket,
        error: &Arc<ConnectError<E>>,
        severity: Severity,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) -> AfterFailure {
        self.rest.counters.connects_failed += 1;
        if severity == Severity::Refreshable && !std::mem::replace(&mut ticket.is_second_try, true) {
            return AfterFailure::Refresh(ticket);
        }
        self.abandon_connect(ticket);
        self.owed = self.owed.saturating_sub(1);
        let failures = match &self.rest.health {
            Health::Well => 0,
            Health::Failing { failures, .. } => *failures,
        };
        let longest =
            self.limits.first_backoff.saturating_mul(1 << failures.min(20)).min(self.limits.max_backoff);
        // Full jitter (Brooker 2015, "Exponential backoff and jitter"): spreads a fleet's tries.
        let pause = longest.mul_f64(self.rest.random.f64());
        let retry_at = now + pause;
        let is_permanent = severity != Severity::Transient;
        let cause = Arc::clone(error);
        out.more().past =
            self.set_health(Health::Failing { failures: failures + 1, cause, retry_at, is_permanent });
        // Another try may be about to succeed.
        let is_last = self.connecting == 0;
        if is_permanent || (self.limits.fail_fast && self.is_down() && is_last) {
            // The first ones get what is being checked.
            self.refuse_behind(self.checking, &AcquireError::Connect(Arc::clone(error)), out);
        }
        self.plan(retry_at);
        AfterFailure::Wait(pause)
    }

    /// Whether a connection that is due goes now: it expired, its successor is there, or the pool is full and it has to make room
    /// for one.
    #[inline(never)]
    pub(super) fn is_over(&mut self, entry: &mut Entry<C>, now: Instant) -> bool {
        if entry.expires.is_some_and(|expires| expires <= now) {
            return true;
        }
        if entry.wants_successor && self.rest.successors > 0 {
            self.rest.successors -= 1;
            return true;
        }
        // Only as many go without a successor at a time as may be opened.
        let is_full = self.size >= self.max_size;
        if is_full && self.connecting + self.owed < self.limits.max_connecting {
            self.owed += 1;
            return true;
        }
        if !std::mem::replace(&mut entry.wants_successor, true) {
            self.wanting += 1;
        }
        false
    }

    /// When connecting is tried again, if something wants it to be.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        let Health::Failing { retry_at, .. } = self.rest.health else { return None };
        (self.wants_connect(now) && self.connecting == 0 && self.size < self.max_size && !self.is_closed)
            .then_some(retry_at)
    }

    pub(super) fn last_cause(&self) -> Option<Arc<ConnectError<E>>> {
        match &self.rest.health {
            Health::Well => None,
            Health::Failing { cause, .. } => Some(Arc::clone(cause)),
        }
    }
}
