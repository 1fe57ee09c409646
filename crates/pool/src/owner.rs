//! What keeps a pool open.

use std::sync::Arc;
use std::time::Instant;

use crate::driver::Shared;
use crate::parking::Apart;
use crate::rt::{Home, thread_number, threads};
use crate::state::Fate;
use crate::{CloseReason, Lease, Manager};

/// What the handles of a pool hold: a share for each thread that the machine runs at a time. A lease holds that of the thread that took it,
/// since cores that count one `Arc` up and down take turns at its cache line, twice a checkout.
pub(crate) struct Owners<M: Manager> {
    pub(crate) shared: Arc<Shared<M>>,
    /// A power of two.
    shares: Box<[Apart<Arc<Owner<M>>>]>,
}

/// What a lease holds.
pub(crate) struct Owner<M: Manager> {
    pub(crate) shared: Arc<Shared<M>>,
    closer: Arc<Closer<M>>,
}

/// Closes the pool with the last share of it, whatever still runs in tasks.
pub(crate) struct Closer<M: Manager>(pub(crate) Arc<Shared<M>>);

impl<M: Manager> Owners<M> {
    /// Those of a new pool.
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        Self::of(&Arc::new(Closer(shared)), threads())
    }

    /// Those of a pool of which only leases are left: one share will do.
    pub(crate) fn again(closer: &Arc<Closer<M>>) -> Self {
        Self::of(closer, 1)
    }

    fn of(closer: &Arc<Closer<M>>, shares: usize) -> Self {
        let share = |_| Apart(Arc::new(Owner { shared: Arc::clone(&closer.0), closer: Arc::clone(closer) }));
        Self { shared: Arc::clone(&closer.0), shares: (0..shares).map(share).collect() }
    }

    /// This thread's share.
    #[inline]
    pub(crate) fn own(&self) -> Arc<Owner<M>> {
        Arc::clone(&self.shares[thread_number() & (self.shares.len() - 1)].0)
    }

    /// The connection that this thread parked last, if it may be handed out as it is.
    #[inline]
    pub(crate) fn at_hand(&self, now: Instant) -> Option<Lease<M>> {
        let loan = self.shared.take_parked(now)?;
        if self.shared.is_open(&loan.connection) {
            return Some(Lease::new(loan, self.own()));
        }
        Shared::not_used(&self.shared, loan, Fate::Close(CloseReason::Broken));
        None
    }

    pub(crate) fn closer(&self) -> &Arc<Closer<M>> {
        &self.shares[0].0.closer
    }
}

impl<M: Manager> Drop for Closer<M> {
    fn drop(&mut self) {
        if !Home::is_torn_down() {
            Shared::close(&self.0);
            self.0.abort();
        }
    }
}
