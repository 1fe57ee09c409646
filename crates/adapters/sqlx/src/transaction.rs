//! Transactions that take a token when they commit.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use futures_core::future::BoxFuture;
use millpond_postgres::foundation::{CommitError, OpenTransaction};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Acquire, Database};
use sqlx_core::transaction::TransactionManager as _;

use crate::backend::SqlxDriver;
use crate::connection::Transactions;
use crate::error::in_sqlx;

/// A transaction, begun by [`PgPool::begin`](crate::PgPool::begin). It derefs to `PgConnection`, so that `&mut *tx` is what runs statements, and
/// is passed on as `&mut PgConnection` or `impl PgExecutor`, as with sqlx's own. Dropped, it is rolled back before anybody else gets the
/// connection.
///
/// What it runs is not seen: behind a commit, reads of the pool, and of the session that it was begun on, show all of it.
#[must_use = "dropped at once, it is rolled back"]
pub struct Transaction<'c, DB: Database = Postgres> {
    inner: Inner<'c>,
    database: PhantomData<fn() -> DB>,
}

/// sqlx's own word for a transaction of PostgreSQL.
pub type PgTransaction<'c> = Transaction<'c, Postgres>;

enum Inner<'c> {
    Routed(Box<OpenTransaction<SqlxDriver>>),
    /// On a pool that was made of one of sqlx's.
    Plain(sqlx::Transaction<'c, Postgres>),
}

impl<'c> Transaction<'c, Postgres> {
    pub(crate) fn routed(transaction: OpenTransaction<SqlxDriver>) -> Self {
        Self { inner: Inner::Routed(Box::new(transaction)), database: PhantomData }
    }

    pub(crate) const fn plain(transaction: sqlx::Transaction<'c, Postgres>) -> Self {
        Self { inner: Inner::Plain(transaction), database: PhantomData }
    }

    /// Commits. Reads behind it show what was written, in every process that gets the [token](crate::Session::token) of the session.
    ///
    /// # Errors
    ///
    /// What the server says. Where another node has become the primary meanwhile nothing is committed, and
    /// [`routing_error`](crate::routing_error) says so; where the answer got lost, its outcome is that it may have been.
    ///
    /// # Cancel safety
    ///
    /// A dropped commit may have run. It is taken for a write.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.inner {
            Inner::Routed(transaction) => transaction.commit().await.map_err(|error| match error {
                CommitError::Driver(error) => error,
                CommitError::Routing(error) => in_sqlx(error),
            }),
            Inner::Plain(transaction) => transaction.commit().await,
        }
    }

    /// Rolls back. Dropping does the same in the background; this waits for it.
    ///
    /// # Errors
    ///
    /// The connection broke. The server rolls back then too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it is rolled back in any case.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.inner {
            Inner::Routed(mut transaction) => {
                let connection = transaction.connection_mut();
                connection.begun();
                let ended = async { Transactions::rollback(connection.raw()?).await }.await;
                connection.answered(&ended);
                ended
            }
            Inner::Plain(transaction) => transaction.rollback().await,
        }
    }
}

impl Deref for Transaction<'_, Postgres> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.inner {
            Inner::Routed(transaction) => transaction.connection().client(),
            Inner::Plain(transaction) => transaction,
        }
    }
}

impl DerefMut for Transaction<'_, Postgres> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.inner {
            Inner::Routed(transaction) => transaction.connection_mut().client_mut(),
            Inner::Plain(transaction) => transaction,
        }
    }
}

impl<'t> Acquire<'t> for &'t mut Transaction<'_, Postgres> {
    type Database = Postgres;
    type Connection = &'t mut PgConnection;

    fn acquire(self) -> BoxFuture<'t, Result<Self::Connection, sqlx::Error>> {
        Box::pin(std::future::ready(Ok(&mut **self)))
    }

    fn begin(self) -> BoxFuture<'t, Result<sqlx::Transaction<'t, Postgres>, sqlx::Error>> {
        Box::pin(sqlx::Connection::begin(&mut **self))
    }
}

impl<DB: Database> fmt::Debug for Transaction<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_routed = matches!(self.inner, Inner::Routed(_));
        f.debug_struct("Transaction").field("is_routed", &is_routed).finish_non_exhaustive()
    }
}

impl AsRef<PgConnection> for Transaction<'_, Postgres> {
    fn as_ref(&self) -> &PgConnection {
        self
    }
}

impl AsMut<PgConnection> for Transaction<'_, Postgres> {
    fn as_mut(&mut self) -> &mut PgConnection {
        self
    }
}
