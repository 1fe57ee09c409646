use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::driver::Shared;
use crate::handoff::Handoff;
use crate::rt::{Sleep, now, sleep_until};
use crate::state::{Admission, Caller, Deliveries, Fate, Loan, Place};
use crate::{AcquireError, CloseReason, Lease, Manager};

/// A connection to come; made by [`Pool::acquire`](crate::Pool::acquire).
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'p, M: Manager> {
    shared: &'p Arc<Shared<M>>,
    caller: Caller,
    step: Step<M>,
}

enum Step<M: Manager> {
    New,
    Queued {
        place: Place<M::Connection, M::Error>,
        /// Only where the pool's own runtime may stand still while this one waits: its upkeep tells who waited for too long.
        alarm: Option<Sleep>,
    },
    Over,
}

impl<'p, M: Manager> Acquire<'p, M> {
    #[inline]
    pub(crate) const fn new(shared: &'p Arc<Shared<M>>, caller: Caller) -> Self {
        Self { shared, caller, step: Step::New }
    }

    fn lease(&self, loan: Loan<M::Connection>) -> Lease<M> {
        Lease::new(loan, Arc::clone(self.shared))
    }

    /// Asks for the first time.
    #[inline]
    fn ask(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        if let Some(loan) = self.shared.take_parked(self.caller.asked) {
            if self.shared.is_open(&loan.connection) {
                self.step = Step::Over;
                return Poll::Ready(Ok(self.lease(loan)));
            }
            Shared::release(self.shared, loan, Fate::Close(CloseReason::Broken));
        }
        loop {
            // In a crowd this one will have to wait too, and the lock is short of time.
            let place = self.shared.is_crowded().then(|| Handoff::new(self.caller, context.waker()));
            let mut state = self.shared.lock();
            let mut out = Deliveries::new();
            let admission = state.admit(&self.caller, context.waker(), place, &mut out);
            match admission {
                Admission::Loan(loan) => {
                    let is_earlier = state.take_plan();
                    drop(state);
                    if is_earlier {
                        self.shared.tell_upkeep();
                    }
                    if self.shared.is_open(&loan.connection) {
                        self.step = Step::Over;
                        return Poll::Ready(Ok(self.lease(loan)));
                    }
                    Shared::release(self.shared, loan, Fate::Close(CloseReason::Broken));
                }
                Admission::Stale(loan) => {
                    drop(state);
                    Shared::release(self.shared, loan, Fate::Close(CloseReason::Expired));
                }
                Admission::Queued(place) => {
                    let is_first = Shared::queued(self.shared, state, out, self.caller.asked);
                    return self.wait(place, is_first, context);
                }
                Admission::Refused(error) => {
                    Shared::follow(self.shared, state, self.caller.asked);
                    self.step = Step::Over;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn wait(
        &mut self,
        place: Place<M::Connection, M::Error>,
        is_first: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let alarm = (!self.shared.home.goes_on()).then(|| Box::pin(sleep_until(self.caller.deadline)));
        // The first may have been served with what threads kept at hand, and an alarm has to be set.
        let asks_again = is_first || alarm.is_some();
        self.step = Step::Queued { place, alarm };
        if asks_again { self.wait_on(context) } else { Poll::Pending }
    }

    fn wait_on(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let Step::Queued { alarm, .. } = &mut self.step else { return Poll::Pending };
        let rings = alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(context).is_ready());
        let heard = self.hear(context);
        if rings && heard.is_pending() { self.ring(context) } else { heard }
    }

    /// The alarm rings: upkeep has not told in time.
    fn ring(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let now = now();
        let chores = self.shared.lock().upkeep(now);
        Shared::do_chores(self.shared, chores, now);
        self.hear(context)
    }

    /// Asks what came of waiting.
    fn hear(&mut self, context: &mut Context<'_>) -> Poll<Result<Lease<M>, AcquireError<M::Error>>> {
        let Step::Queued { place, .. } = &self.step else { return Poll::Pending };
        let outcome = ready!(place.poll(context.waker()));
        self.step = Step::Over;
        Poll::Ready(outcome.map(|loan| self.lease(loan)))
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
            Some(Ok(loan)) => Shared::release(self.shared, loan, Fate::Clean),
            Some(Err(_)) => {}
            None => {
                let mut state = self.shared.lock();
                state.leave(place);
                Shared::follow(self.shared, state, now());
            }
        }
    }
}

impl<M: Manager> fmt::Debug for Acquire<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("caller", &self.caller).finish_non_exhaustive()
    }
}
