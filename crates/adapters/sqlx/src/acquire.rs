//! Connections on loan, and what takes them.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use futures_core::future::BoxFuture;
use millpond_cluster::{Handle, NodeLease, OnLoan, Unseen};
use sqlx::Acquire;
use sqlx::postgres::{PgConnection, Postgres};
use tokio::time::timeout;

use crate::backend::Sqlx;
use crate::error::in_sqlx;
use crate::pool::{Kind, PgPool, Routed, Session};
use crate::writer::pid_of;

/// A connection to the primary on loan; made by [`PgPool::acquire`]. It derefs to `PgConnection`.
///
/// Dropped, it is rolled back and set back in the background before anybody else gets it; its prepared statements stay.
pub struct PoolConnection {
    inner: Inner,
}

enum Inner {
    // The connection goes back before what was out of it counts as written.
    Routed { lease: NodeLease<Sqlx>, _out: Unseen<Sqlx>, _loan: OnLoan<Sqlx> },
    Plain(sqlx::pool::PoolConnection<Postgres>),
}

impl PoolConnection {
    pub(crate) fn routed(
        lease: NodeLease<Sqlx>,
        handle: &Handle<Sqlx>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { inner: Inner::Routed { lease, _out: handle.unseen(), _loan: handle.on_loan(site) } }
    }

    pub(crate) const fn plain(connection: sqlx::pool::PoolConnection<Postgres>) -> Self {
        Self { inner: Inner::Plain(connection) }
    }
}

impl Deref for PoolConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.inner {
            Inner::Routed { lease, .. } => lease.connection().client(),
            Inner::Plain(connection) => connection,
        }
    }
}

impl DerefMut for PoolConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.inner {
            Inner::Routed { lease, .. } => lease.connection_mut().client_mut(),
            Inner::Plain(connection) => connection,
        }
    }
}

impl AsRef<PgConnection> for PoolConnection {
    fn as_ref(&self) -> &PgConnection {
        self
    }
}

impl AsMut<PgConnection> for PoolConnection {
    fn as_mut(&mut self) -> &mut PgConnection {
        self
    }
}

impl fmt::Debug for PoolConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConnection").finish_non_exhaustive()
    }
}

impl<'c> Acquire<'c> for &'c mut PoolConnection {
    type Database = Postgres;
    type Connection = &'c mut PgConnection;

    fn acquire(self) -> BoxFuture<'c, Result<Self::Connection, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(&mut **self)))
    }

    fn begin(self) -> BoxFuture<'c, Result<sqlx::Transaction<'c, Postgres>, sqlx::Error>> {
        Box::pin(sqlx::Connection::begin(&mut **self))
    }
}

/// For code that takes any `Acquire`. Its transactions are sqlx's own, on connections of the [writer pool](PgPool::writer_pool): what they commit is not
/// seen, so that reads of this pool, or of the session, go to the primary until they are over. [`PgPool::begin`] has one whose commit is
/// seen.
impl<'c> Acquire<'c> for &'_ PgPool {
    type Database = Postgres;
    type Connection = PoolConnection;

    #[track_caller]
    fn acquire(self) -> BoxFuture<'c, Result<PoolConnection, sqlx::Error>> {
        let (pool, site) = (self.clone(), Location::caller());
        Box::pin(async move { pool.acquire_at(site).await })
    }

    fn begin(self) -> BoxFuture<'c, Result<sqlx::Transaction<'c, Postgres>, sqlx::Error>> {
        let pool = self.clone();
        Box::pin(async move {
            match pool.kind {
                Kind::Routed(routed) => begin_foreign(&routed).await,
                Kind::Plain(pool) => pool.begin().await,
            }
        })
    }
}

impl<'c> Acquire<'c> for &'_ Session {
    type Database = Postgres;
    type Connection = PoolConnection;

    #[track_caller]
    fn acquire(self) -> BoxFuture<'c, Result<PoolConnection, sqlx::Error>> {
        Acquire::acquire(&**self)
    }

    fn begin(self) -> BoxFuture<'c, Result<sqlx::Transaction<'c, Postgres>, sqlx::Error>> {
        Acquire::begin(&**self)
    }
}

async fn begin_foreign<'c>(routed: &Routed) -> Result<sqlx::Transaction<'c, Postgres>, sqlx::Error> {
    let limit = routed.handle.longest_wait();
    match timeout(limit, routed.handle.primary()).await {
        Ok(primary) => drop(primary.map_err(in_sqlx)?),
        Err(_) => return Err(sqlx::Error::PoolTimedOut),
    }
    let writer = routed.writer();
    let mut connection = writer.pool.acquire().await?;
    let pid = pid_of(&mut connection).await?;
    writer.watched.begin(pid, routed.handle.unseen());
    sqlx::Transaction::begin(connection, None).await
}
