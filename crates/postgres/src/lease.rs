use std::fmt;
use std::ops::{Deref, DerefMut};

use millpond_cluster::{Handle, NodeLease, Purpose};
use tokio_postgres::{Client, Statement};

use crate::{Error, Postgres, Result};

/// A connection on loan, for code that wants a `tokio_postgres::Client`: it derefs to one.
///
/// What is done through the client is not seen. So when the lease is dropped the connection is rolled back and reset,
/// keeping its prepared statements, before anybody else gets it; and what may have been written on a primary is taken
/// for written: later reads of the handle that gave the lease wait for a replica that shows it, or go to the primary.
///
/// Nor are definitions seen: to be safe from a view that is made on it, no read could go to a replica while any lease is
/// out. Say so with [`defined`](Lease::defined), or run migrations through a handle or a transaction.
///
/// Nor can it be stopped: when another node becomes the primary meanwhile, look at
/// [`is_outdated`](Lease::is_outdated) before writing on.
pub struct Lease {
    connection: NodeLease<Postgres>,
    handle: Handle<Postgres>,
    purpose: Purpose,
}

impl Lease {
    pub(crate) const fn new(
        connection: NodeLease<Postgres>,
        handle: Handle<Postgres>,
        purpose: Purpose,
    ) -> Self {
        Self { connection, handle, purpose }
    }

    /// Whether the node's role has changed since the lease was given.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.connection.is_evicted()
    }

    /// Says that a definition was run through the client, as a view, function or policy that was made, changed or dropped.
    /// Until the catalog of the database shows it, no text is taken for a read; otherwise it is known with the next time
    /// that the catalog is loaded, and until then a new view is taken for a table.
    pub fn defined(&self) {
        self.handle.defined();
    }

    /// Prepares a statement, or takes it from the connection's cache.
    ///
    /// # Errors
    ///
    /// What the server says to the text.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the connection is closed when the lease is dropped.
    pub async fn prepare_cached(&self, sql: &str) -> Result<Statement> {
        let backend = self.handle.cluster().backend();
        let prepared = self.connection.prepare(sql).await;
        prepared.map_err(|error| {
            Error::from_backend(backend, self.connection.node(), "preparing a statement", error)
        })
    }
}

impl Deref for Lease {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.connection.client()
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Client {
        self.connection.client_mut()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.purpose == Purpose::Write {
            self.handle.wrote();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
