//! Who is served next, and with what.

use std::error::Error;
use std::time::Instant;

use super::{Deliveries, Loan, Place, State};
use crate::{AcquireError, CloseReason};

impl<C, E: Error + 'static> State<C, E> {
    /// Takes the one whose turn it is for a connection that is free out of its list.
    #[inline]
    pub(super) fn next_served(&mut self, now: Instant, out: &mut Deliveries<C, E>) -> Option<Place<C, E>> {
        loop {
            let rest = &mut *self.rest;
            let class = if self.has_classes {
                let has_room = |class| rest.classes.has_room(class, self.max_size);
                (0..rest.classes.len()).find(|class| !rest.waiters[*class].is_empty() && has_room(*class))?
            } else {
                0
            };
            let place = rest.waiters[class].pop_front()?;
            self.waiting -= 1;
            let Some(codel) = &mut rest.codel else { return Some(place) };
            let waited = now.saturating_duration_since(place.who.asked);
            let sheds = codel.sheds(waited, now);
            if self.waiting == 0 {
                // Nobody is served sooner for it that the last one is turned away.
                codel.was_empty();
                return Some(place);
            }
            if !sheds {
                return Some(place);
            }
            rest.counters.shed += 1;
            out.add(place, Err(Box::new(AcquireError::Shed { waited })));
        }
    }

    #[inline]
    pub(super) fn hand_over(
        &mut self,
        place: Place<C, E>,
        mut entry: Loan<C>,
        now: Instant,
        out: &mut Deliveries<C, E>,
    ) {
        self.rest.counters.handed_off += 1;
        self.lease(&mut entry, &place.who, now);
        out.add(place, Ok(entry));
    }

    pub(super) fn refuse_all(&mut self, error: &AcquireError<E>, out: &mut Deliveries<C, E>) {
        self.refuse_behind(0, error, out);
    }

    /// Refuses all who wait but the first so many.
    pub(super) fn refuse_behind(
        &mut self,
        mut spared: usize,
        error: &AcquireError<E>,
        out: &mut Deliveries<C, E>,
    ) {
        for waiters in &mut self.rest.waiters {
            let kept = spared.min(waiters.len());
            spared -= kept;
            self.waiting -= waiters.len() - kept;
            waiters.drain(kept..).for_each(|place| out.add(place, Err(Box::new(error.clone()))));
        }
    }

    /// Idle connections go to those who may have them, or are checked for them first.
    #[inline]
    pub(super) fn serve(&mut self, now: Instant, out: &mut Deliveries<C, E>) {
        if !self.idle.is_empty() && self.waiting > 0 {
            self.serve_idle(now, out);
        }
    }

    fn serve_idle(&mut self, now: Instant, out: &mut Deliveries<C, E>) {
        // What needs no check is nobody's to wait for, be it that an older one was kept alive since.
        while let Some(at) = self.idle.iter().rposition(|entry| !self.needs_check(entry, now)) {
            if self.idle[at].has_expired(now) {
                let entry = self.idle.remove(at);
                self.expired(entry, out);
                continue;
            }
            let Some(place) = self.next_served(now, out) else { break };
            let entry = self.idle.remove(at);
            self.hand_over(place, entry, now, out);
        }
        while self.callers() > self.checking - self.keeping_alive {
            let Some(entry) = self.idle.pop() else { return };
            if entry.has_expired(now) {
                self.expired(entry, out);
            } else if self.needs_check(&entry, now) {
                self.checking += 1;
                out.more().checks.push(entry);
            } else if let Some(place) = self.next_served(now, out) {
                self.hand_over(place, entry, now, out);
            } else {
                return self.idle.push(entry);
            }
        }
    }

    fn expired(&mut self, entry: Loan<C>, out: &mut Deliveries<C, E>) {
        self.closed(&entry, CloseReason::Expired);
        out.more().closed.push((entry, CloseReason::Expired));
    }
}
