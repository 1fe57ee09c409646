//! Transactions that take a token when they commit.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::time::Duration;

use futures_core::future::BoxFuture;
use millpond_cluster::core::Epoch;
use millpond_cluster::{Changes, GivenUp, Handle, NodeLease, Purpose, ReadsUntilDropped, timed_out};
use millpond_cluster::{Error, ErrorKind, Outcome};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Acquire, Database};
use sqlx_core::transaction::TransactionManager as _;
use tokio::time::timeout;

use crate::backend::Sqlx;
use crate::connection::Transactions;
use crate::error::in_sqlx;
use crate::operation::written;

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

/// So long the primary may take to say where it is behind a commit: after that its place is not known.
const PLACED_WITHIN: Duration = Duration::from_secs(1);

/// sqlx's own word for a transaction of PostgreSQL.
pub type PgTransaction<'c> = Transaction<'c, Postgres>;

enum Inner<'c> {
    Routed(Box<Routed>),
    /// On a pool that was made of one of sqlx's.
    Plain(sqlx::Transaction<'c, Postgres>),
}

struct Routed {
    lease: NodeLease<Sqlx>,
    handle: Handle<Sqlx>,
    /// Whether the primary is asked where it is behind the commit.
    is_placed: bool,
    is_on_primary: bool,
    /// Of which primary it is; nothing, where that was another already.
    epoch: Option<Epoch>,
    /// Noted behind the last statement, whatever becomes of it.
    _reads: ReadsUntilDropped<Sqlx>,
}

impl<'c> Transaction<'c, Postgres> {
    pub(crate) fn routed(
        lease: NodeLease<Sqlx>,
        purpose: Purpose,
        handle: &Handle<Sqlx>,
        is_placed: bool,
    ) -> Self {
        // In this order: connections are closed before another epoch begins.
        let epoch = Some(handle.epoch()).filter(|_| !lease.is_evicted());
        let routed = Routed {
            lease,
            handle: handle.here(),
            is_placed,
            is_on_primary: purpose == Purpose::Write,
            epoch,
            _reads: handle.here().reads_until_dropped(),
        };
        Self { inner: Inner::Routed(Box::new(routed)), database: PhantomData }
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
            Inner::Routed(routed) => routed.commit().await,
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
            Inner::Routed(mut routed) => {
                let connection = routed.lease.statements().map_err(|_| sqlx::Error::WorkerCrashed)?;
                connection.begun();
                let ended = async { Transactions::rollback(connection.raw()?).await }.await;
                connection.answered(&ended);
                ended
            }
            Inner::Plain(transaction) => transaction.rollback().await,
        }
    }
}

impl Routed {
    async fn commit(mut self: Box<Self>) -> Result<(), sqlx::Error> {
        if self.is_on_primary && self.lease.is_evicted() {
            return Err(replaced(
                Outcome::Rejected,
                "since the transaction began; nothing was committed: run it again",
            ));
        }
        let begun = std::time::Instant::now();
        let mut noted = WroteUnlessSettled { handle: self.is_on_primary.then(|| self.handle.clone()) };
        let connection = self.lease.statements().map_err(|_| sqlx::Error::WorkerCrashed)?;
        connection.begun();
        let Some(mut raw) = connection.take() else { return Err(sqlx::Error::WorkerCrashed) };
        let committed = self.handle.while_current(&self.lease, pin!(Transactions::commit(&mut raw))).await;
        let connection = self.lease.statements().map_err(|_| sqlx::Error::WorkerCrashed)?;
        let answer = match committed {
            Ok(answer) => answer,
            // Nobody knows where the connection is: it stays taken out, and is closed.
            Err(GivenUp::Replaced) => return Err(replaced(Outcome::MayHaveRun, "while it committed")),
            Err(GivenUp::TimedOut) => {
                return Err(in_sqlx(timed_out(&"the primary".into(), Outcome::MayHaveRun)));
            }
        };
        connection.put_back(raw);
        connection.answered(&answer);
        if let Err(error) = answer {
            if crate::error::failure_of(&error).kind != millpond_cluster::FailureKind::ConnectionLost {
                noted.handle = None;
            }
            return Err(error);
        }
        let position = match self.epoch {
            Some(epoch) if self.is_placed && noted.handle.is_some() => {
                // It is committed: a server that goes silent now must not keep its caller.
                let asked =
                    timeout(PLACED_WITHIN, written(connection, self.handle.cluster().backend())).await;
                asked.ok().flatten().map(|position| (position, epoch))
            }
            _ => None,
        };
        let Some(handle) = noted.handle.take() else { return Ok(()) };
        match position {
            Some((position, epoch)) => handle.wrote_at(position, epoch, begun, &Changes::Anything),
            None => handle.wrote(),
        }
        Ok(())
    }
}

fn replaced(outcome: Outcome, when: &str) -> sqlx::Error {
    let text = format!("the primary went silent or lost its role {when}");
    in_sqlx(Error::new(ErrorKind::ConnectionLost, outcome, text))
}

/// A commit that was sent and not answered yet. Dropped so, it may have run.
struct WroteUnlessSettled {
    handle: Option<Handle<Sqlx>>,
}

impl Drop for WroteUnlessSettled {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.wrote();
        }
    }
}

impl Deref for Transaction<'_, Postgres> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.inner {
            Inner::Routed(routed) => routed.lease.client(),
            Inner::Plain(transaction) => transaction,
        }
    }
}

impl DerefMut for Transaction<'_, Postgres> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.inner {
            Inner::Routed(routed) => routed.lease.client_mut(),
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
