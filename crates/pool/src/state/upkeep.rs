//! What has to be done at its time: deadlines, lifetimes, idle connections, leaks.

use std::error::Error;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Deliveries, Lent, Loan, State};
use crate::{AcquireError, CloseReason, Phase};

/// What upkeep found to do.
#[derive(Debug)]
pub(crate) struct Chores<C, E: Error + 'static> {
    pub(crate) out: Deliveries<C, E>,
    /// To be dropped.
    pub(crate) closed: Vec<(Loan<C>, CloseReason)>,
    /// To be checked.
    pub(crate) checks: Vec<Loan<C>>,
    /// Leases that are out for too long, and for how long.
    pub(crate) leaks: Vec<(&'static Location<'static>, Duration)>,
}

impl<C, E: Error + 'static> State<C, E> {
    /// Does what is due by `now`.
    pub(crate) fn upkeep(&mut self, now: Instant) -> Chores<C, E> {
        let mut chores =
            Chores { out: Deliveries::new(), closed: Vec::new(), checks: Vec::new(), leaks: Vec::new() };
        self.look_at_lifetimes(now);
        self.time_out(now, &mut chores.out);
        self.find_leaks(now, &mut chores.leaks);
        self.tend_idle(now, &mut chores);
        chores
    }

    /// When upkeep has to run next, as things stand, and at `round` at the latest while there are connections.
    pub(crate) fn plan_next(&mut self, round: Option<Instant>, now: Instant) -> Option<Instant> {
        let limits = &self.limits;
        let deadlines = self.rest.waiters.iter().flatten().map(|place| place.who.deadline);
        let surplus = self.idle.len() > limits.min_idle;
        let of_idle = self.idle.iter().flat_map(|entry| {
            // One that waits for its successor goes when that is there, or when it expires.
            let end = if entry.wants_successor { entry.expires } else { entry.due };
            let idle = limits.idle_timeout.filter(|_| surplus).map(|rest| entry.rests_since + rest);
            let keepalive = limits.keepalive.map(|rest| entry.proven + rest);
            [end, idle, keepalive]
        });
        let lent = self.rest.lent.first_key_value();
        let leak = limits.leak_after.zip(lent).map(|(after, (_, lent))| lent.since + after);
        let settled = self.rest.short_until.filter(|until| *until > now);
        let round = round.filter(|_| self.size > 0);
        let all = deadlines
            .chain(of_idle.flatten())
            .chain(leak)
            .chain(self.retry_at(now))
            .chain(settled)
            .chain(round);
        self.planned = all.min();
        self.is_plan_earlier = false;
        self.planned
    }

    /// Lets whoever gets a connection from now on look whether it has expired on its way.
    fn look_at_lifetimes(&mut self, now: Instant) {
        let Some(lifetime) = self.limits.max_lifetime else { return };
        let is_time = now.saturating_duration_since(self.rest.last_looked) >= lifetime / 40;
        if is_time && self.size > self.idle.len() {
            self.rest.last_looked = now;
            self.epoch += 1;
        }
    }

    /// Tells whoever has waited for too long.
    fn time_out(&mut self, now: Instant, out: &mut Deliveries<C, E>) {
        let cause = self.last_cause();
        let checking = self.checking - self.keeping_alive;
        // Those for whom there is room wait for a new one, be it that none can be opened now.
        let room = self.connecting + self.max_size.saturating_sub(self.size);
        let connecting = (checking + room).min(self.callers()).saturating_sub(checking);
        let rest = &mut *self.rest;
        let mut rank = 0;
        for (class, waiters) in rest.waiters.iter_mut().enumerate() {
            let has_room = !self.has_classes || rest.classes.has_room(class, self.max_size);
            waiters.retain(|place| {
                let phase = if has_room { phase(rank, checking, connecting) } else { Phase::Wait };
                rank += usize::from(has_room);
                if place.who.deadline > now {
                    return true;
                }
                let waited = now.saturating_duration_since(place.who.asked);
                rest.counters.timed_out[phase as usize] += 1;
                let error = AcquireError::Timeout { phase, waited, cause: cause.clone() };
                out.add(Arc::clone(place), Err(Box::new(error)));
                self.waiting -= 1;
                false
            });
        }
    }

    /// Each lease is told once.
    fn find_leaks(&mut self, now: Instant, leaks: &mut Vec<(&'static Location<'static>, Duration)>) {
        let Some(leak_after) = self.limits.leak_after else { return };
        while let Some(first) = self.rest.lent.first_entry() {
            let Lent { site, since } = *first.get();
            let held = now.saturating_duration_since(since);
            if held < leak_after {
                return;
            }
            first.remove();
            self.rest.counters.leaked += 1;
            leaks.push((site, held));
        }
    }

    /// Closes and checks connections that rest, the oldest first.
    fn tend_idle(&mut self, now: Instant, chores: &mut Chores<C, E>) {
        let is_past =
            |since: Instant, limit: Option<Duration>| limit.is_some_and(|limit| since + limit <= now);
        let mut left = self.idle.len();
        for mut entry in std::mem::take(&mut self.idle) {
            let is_surplus = left > self.limits.min_idle;
            let reason = if entry.due.is_some_and(|due| due <= now) && self.is_over(&mut entry, now) {
                Some(CloseReason::Expired)
            } else if is_surplus && is_past(entry.rests_since, self.limits.idle_timeout) {
                Some(CloseReason::Idle)
            } else {
                None
            };
            if let Some(reason) = reason {
                left -= 1;
                self.closed(&entry, reason);
                chores.closed.push((entry, reason));
            } else if is_past(entry.proven, self.limits.keepalive) {
                left -= 1;
                self.checking += 1;
                self.keeping_alive += 1;
                entry.is_kept_alive = true;
                chores.checks.push(entry);
            } else {
                self.idle.push(entry);
            }
        }
    }
}

/// What the time of a waiter went on that has so many others in front.
const fn phase(rank: usize, checking: usize, connecting: usize) -> Phase {
    if rank < checking {
        Phase::Check
    } else if rank < checking + connecting {
        Phase::Connect
    } else {
        Phase::Wait
    }
}
