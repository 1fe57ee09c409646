use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::driver::Shared;
use crate::handoff::Handoff;
use crate::owner::Owners;
use crate::rt::{Alarm, now};
use crate::state::{Admission, Caller, Deliveries, Fate, Loan, Place};
use crate::{AcquireError, CloseReason, Lease, Manager};

/// A connection to come; made by [`Pool::acquire`](crate::Pool::acquire).
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'p, M: Manager> {
    owners: &'p Owners<M>,
    caller: Caller,
    /// If it is not that of the pool's timeout, from the first poll on.
    deadline: Option<Instant>,
    /// Whether the caller said when it asks.
    has_asked: bool,
    step: Step<M>,
}

enum Step<M: Manager> {
    New,
    Queued {
        place: Place<M::Connection, M::Error>,
        /// Only where the pool's own runtime may stand still while this one waits: its upkeep tells who waited for too long.
        alarm: Option<Alarm>,
    },
    Over,
}

impl<'p, M: Manager> Acquire<'p, M> {
    #[inline]
    pub(crate) const fn new(
        owners: &'p Owners<M>,
        caller: Caller,
        deadline: Option<Instant>,
        has_asked: bool,
    ) -> Self {
        Self { owners, caller, deadline, has_asked, step: Step::New }
    }

    fn shared(&self) -> &'p Arc<Shared<M>> {
        &self.owners.shared
    }

    fn lease(&self, loan: Loan<M::Connection>) -> Lease<M> {
        Lease::new(loan, self.owners.own())
    }

    /// Asks for the first time.
    #[inline]
    fn ask(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        if !self.has_asked {
            self.caller.asked = now();
        }
        self.caller.deadline =
            self.deadline.unwrap_or_else(|| self.caller.asked + self.shared().timeouts.acquire);
        if let Some(lease) = self.owners.at_hand(self.caller.asked) {
            self.step = Step::Over;
            return Poll::Ready(Ok(lease));
        }
        self.ask_state(self.caller.asked, context)
    }

    /// Asks the state, for the first time, or again when what was handed over was of no use.
    fn ask_state(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let shared = self.shared();
        let mut has_searched = false;
        loop {
            // In a crowd this one will have to wait too, and the lock is short of time.
            let mut place = shared.is_crowded().then(|| Handoff::new(self.caller, context.waker()));
            let mut state = shared.lock();
            let mut out = Deliveries::new();
            let admission = state.admit(&self.caller, context.waker(), &mut place, now, &mut out);
            match admission {
                Admission::Loan(loan) => {
                    let is_earlier = state.take_plan();
                    drop(state);
                    if is_earlier {
                        shared.tell_upkeep();
                    }
                    if shared.is_open(&loan.connection) {
                        self.step = Step::Over;
                        return Poll::Ready(Ok(self.lease(loan)));
                    }
                    Shared::not_used(shared, loan, Fate::Close(CloseReason::Broken));
                }
                Admission::Stale(loan) => {
                    drop(state);
                    Shared::release(shared, loan, Fate::Close(CloseReason::Expired));
                }
                Admission::Queued(place) => {
                    // From here on it is dropped as one that waits, whatever happens.
                    self.step = Step::Queued { place, alarm: None };
                    let may_be_served = Shared::queued(shared, state, out, now);
                    return self.wait(may_be_served, context);
                }
                Admission::Refused(error) => {
                    let found = Shared::refused(shared, state, out, now);
                    if found && !std::mem::replace(&mut has_searched, true) {
                        continue;
                    }
                    self.step = Step::Over;
                    shared.lock().count_refused(&error);
                    return Poll::Ready(Err(*error));
                }
            }
        }
    }

    fn wait(
        &mut self,
        may_be_served: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let (shared, deadline) = (self.shared(), self.caller.deadline);
        let Step::Queued { alarm, .. } = &mut self.step else { return Poll::Pending };
        shared.home.set_alarm(alarm, deadline);
        // An alarm has to be set, too.
        if may_be_served || alarm.is_some() { self.wait_on(context) } else { Poll::Pending }
    }

    fn wait_on(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let (shared, deadline) = (self.shared(), self.caller.deadline);
        let heard = self.hear(context);
        let Step::Queued { alarm, .. } = &mut self.step else { return heard };
        // It may be polled in another runtime than before.
        shared.home.set_alarm(alarm, deadline);
        let rings = alarm.as_mut().is_some_and(|alarm| alarm.poll(context).is_ready());
        if rings { self.ring(context) } else { heard }
    }

    /// The alarm rings: upkeep has not told in time.
    fn ring(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        Shared::look_after(self.shared(), now());
        self.hear(context)
    }

    /// Asks what came of waiting.
    fn hear(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let Step::Queued { place, .. } = &self.step else { return Poll::Pending };
        let outcome = ready!(place.poll(context.waker()));
        self.step = Step::Over;
        match outcome {
            Err(error) => Poll::Ready(Err(*error)),
            Ok(loan) if !self.shared().is_still_good(&loan) => self.again(loan, Fate::Clean, context),
            Ok(loan) if !self.shared().is_open(&loan.connection) => {
                self.again(loan, Fate::Close(CloseReason::Broken), context)
            }
            Ok(loan) => Poll::Ready(Ok(self.lease(loan))),
        }
    }

    /// What it was handed went bad on the way: it is the first in line again.
    #[cold]
    fn again(
        &mut self,
        loan: Loan<M::Connection>,
        fate: Fate,
        context: &mut Context<'_>,
    ) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        self.caller.is_first = true;
        Shared::not_used(self.shared(), loan, fate);
        self.ask_state(now(), context)
    }
}

impl<M: Manager> Future for Acquire<'_, M> {
    type Output = Result<Lease<M>, AcquireError<M::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &this.step {
            Step::New => this.ask(context),
            Step::Queued { .. } => this.wait_on(context),
            Step::Over => Poll::Pending,
        }
    }
}

impl<M: Manager> Drop for Acquire<'_, M> {
    #[inline]
    fn drop(&mut self) {
        let Step::Queued { place, .. } = &self.step else { return };
        match place.leave() {
            // It was handed over, and nobody saw it: the next in line.
            Some(Ok(loan)) => {
                self.shared().lock().count_left();
                Shared::not_used(self.shared(), loan, Fate::Clean);
            }
            Some(Err(_)) => {}
            None => {
                let mut state = self.shared().lock();
                state.leave(place);
                Shared::follow(self.shared(), state, now());
            }
        }
    }
}

impl<M: Manager> fmt::Debug for Acquire<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("caller", &self.caller).finish_non_exhaustive()
    }
}
