use std::time::Duration;

use crate::{Db, Lease, Result};

/// A plain pool of connections to whichever node is the primary, for code that wants no more: job queues, session stores, migrations.
/// Made by [`Db::writer_pool`]. It has no connections of its own: they are those that the handle writes with.
///
/// A [`Lease`] derefs to `tokio_postgres::Client`. When another node becomes the primary the next ones are to that; those that are out say
/// so by [`is_outdated`](Lease::is_outdated).
#[derive(Clone, Debug)]
pub struct WriterPool {
    db: Db,
}

impl WriterPool {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// A connection to the primary.
    ///
    /// # Errors
    ///
    /// No connection, or no primary, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn get(&self) -> Result<Lease> {
        self.db.get().await
    }

    /// The same, with a limit of its own for the wait.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn get_within(&self, limit: Duration) -> Result<Lease> {
        self.db.timeout(limit).get().await
    }
}
