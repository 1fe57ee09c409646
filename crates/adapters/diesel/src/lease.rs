//! Connections on loan.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use diesel_async::AsyncPgConnection;
use millpond_cluster::{Handle, NodeLease, OnLoan, Purpose, ReadsUntilDropped, Unseen};

use crate::driver::Diesel;

/// Where a caller took something.
pub(crate) type Site = &'static Location<'static>;

/// A connection on loan: made by [`Pool::read`](crate::Pool::read) and [`Pool::write`](crate::Pool::write). It derefs to `AsyncPgConnection`, and is
/// one wherever diesel-async takes a connection: `&mut lease`.
///
/// Dropped, it is rolled back and set back in the background before anybody else gets it; its prepared statements stay. A statement that was given up
/// runs on for a second at most.
///
/// What is done on it is not seen. So as long as one for writing is out, reads of the pool, or of the session that it was taken from, go to the primary,
/// and then it counts as written. One for reading refuses writes.
pub struct PooledConnection {
    // In this order: the connection goes back before what was out of it counts as written.
    lease: NodeLease<Diesel>,
    _out: Option<Unseen<Diesel>>,
    _loan: OnLoan<Diesel>,
    _reads: ReadsUntilDropped<Diesel>,
}

impl PooledConnection {
    pub(crate) fn writing(mut lease: NodeLease<Diesel>, handle: &Handle<Diesel>, site: Site) -> Self {
        lease.connection_mut().refuse_writes(false);
        Self::given_out(lease, Some(handle.unseen()), handle, site)
    }

    pub(crate) fn reading(
        mut lease: NodeLease<Diesel>,
        purpose: Purpose,
        handle: &Handle<Diesel>,
        site: Site,
    ) -> Self {
        if purpose == Purpose::Write {
            lease.connection_mut().refuse_writes(true);
        }
        Self::given_out(lease, None, handle, site)
    }

    fn given_out(
        mut lease: NodeLease<Diesel>,
        out: Option<Unseen<Diesel>>,
        handle: &Handle<Diesel>,
        site: Site,
    ) -> Self {
        lease.connection_mut().given_out(handle);
        let (loan, reads) = (handle.on_loan(site), handle.here().reads_until_dropped());
        Self { lease, _out: out, _loan: loan, _reads: reads }
    }

    /// Whether the node's role has changed since the connection was given out.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.lease.is_evicted()
    }
}

impl Deref for PooledConnection {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        self.lease.connection().client()
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.lease.connection_mut().client_mut()
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").finish_non_exhaustive()
    }
}
