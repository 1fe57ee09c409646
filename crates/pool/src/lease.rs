use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use crate::driver::Shared;
use crate::owner::Owner;
use crate::rt::now;
use crate::state::{Fate, Loan};
use crate::{CloseReason, Manager};

/// A connection on loan from a [`Pool`](crate::Pool). Dropping it gives the connection back, inside or outside a
/// runtime.
#[must_use = "dropped at once, it gives the connection back"]
pub struct Lease<M: Manager> {
    /// `None` only while it is being dropped or taken apart.
    loan: Option<Loan<M::Connection>>,
    owner: Arc<Owner<M>>,
}

impl<M: Manager> Lease<M> {
    #[inline]
    pub(crate) const fn new(loan: Loan<M::Connection>, owner: Arc<Owner<M>>) -> Self {
        Self { loan: Some(loan), owner }
    }

    /// Whether the pool retired this connection's generation since it was opened. It is closed on return.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.owner.shared.is_evicted(self.loan())
    }

    /// Of which generation the connection is: [`Pool::evict_before`](crate::Pool::evict_before) the next one closes it, and all as
    /// old.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.loan().generation
    }

    /// When the connection was opened.
    #[must_use]
    pub fn opened_at(&self) -> Instant {
        self.loan().opened
    }

    /// How often the connection was handed out, this time included.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.loan().uses
    }

    #[inline]
    fn loan(&self) -> &Loan<M::Connection> {
        self.loan.as_ref().expect("a lease holds its connection until it is dropped")
    }

    /// Gives the connection back, as dropping does, without a look at the clock: `now` is the time, by the clock of tokio or of the
    /// standard library.
    #[inline]
    pub fn give_back_at(mut self, now: impl Into<Instant>) {
        if let Some(loan) = self.loan.take() {
            Shared::take_back(&self.owner.shared, loan, || now.into());
        }
    }

    /// Closes the connection instead of giving it back.
    pub fn close(mut self) {
        if let Some(loan) = self.loan.take() {
            Shared::release(&self.owner.shared, loan, Fate::Close(CloseReason::Broken));
        }
    }

    /// Takes the connection out of the pool, which may open another one in its place.
    #[must_use]
    pub fn detach(mut self) -> M::Connection {
        let mut loan = self.loan.take().expect("a lease holds its connection until it is dropped");
        Shared::detach(&self.owner.shared, &mut loan);
        loan.connection
    }
}

impl<M: Manager> Deref for Lease<M> {
    type Target = M::Connection;

    #[inline]
    fn deref(&self) -> &M::Connection {
        &self.loan().connection
    }
}

impl<M: Manager> DerefMut for Lease<M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut M::Connection {
        &mut self.loan.as_mut().expect("a lease holds its connection until it is dropped").connection
    }
}

impl<M: Manager> Drop for Lease<M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            Shared::take_back(&self.owner.shared, loan, now);
        }
    }
}

impl<M: Manager> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
