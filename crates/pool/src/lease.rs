use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::Manager;
use crate::pool::Shared;
use crate::state::Entry;

/// A connection on loan from a [`Pool`](crate::Pool). Dropping it gives the connection back, inside or outside a
/// runtime.
pub struct Lease<M: Manager> {
    /// `None` only while it is being dropped or handed on.
    entry: Option<Entry<M::Connection>>,
    shared: Arc<Shared<M>>,
}

impl<M: Manager> Lease<M> {
    pub(crate) const fn new(entry: Entry<M::Connection>, shared: Arc<Shared<M>>) -> Self {
        Self { entry: Some(entry), shared }
    }

    /// Takes the connection out of a lease that nobody received, so that it can go to the next in line.
    pub(crate) fn into_entry(mut self) -> Option<Entry<M::Connection>> {
        self.entry.take()
    }

    /// Whether the pool retired this connection's generation since it was opened. It is closed on return.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.generation != self.shared.generation())
    }
}

impl<M: Manager> Deref for Lease<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        &self.entry.as_ref().expect("a lease holds its connection until it is dropped").connection
    }
}

impl<M: Manager> DerefMut for Lease<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        &mut self.entry.as_mut().expect("a lease holds its connection until it is dropped").connection
    }
}

impl<M: Manager> Drop for Lease<M> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            Shared::take_back(&self.shared, entry);
        }
    }
}

impl<M: Manager> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
