//! Transactions that take a token when they commit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard as SyncGuard, PoisonError};

use async_stream::try_stream;
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, RuntimeErr,
    Statement, StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{in_execution, in_query};
use crate::savepoints::Savepoints;
use crate::statement::{execute, execute_unprepared, query_all, query_of, query_one};
use crate::stream::QueryStream;

/// A transaction, or one nested in another by a savepoint, in the place of [`sea_orm::DatabaseTransaction`]. Dropped, it is rolled back before
/// anybody else gets the connection.
///
/// Behind a commit, reads of its connection, and of the session that it was begun in, show what it wrote.
///
/// What is nested in it and neither committed nor rolled back when it commits is rolled back. A nested one whose commit is given up fails the whole.
#[must_use = "dropped at once, it is rolled back"]
pub struct DatabaseTransaction {
    inner: Inner,
}

enum Inner {
    Routed(Routed),
    /// On a connection that was made of one of sea-orm's.
    Plain(sea_orm::DatabaseTransaction),
}

struct Routed {
    shared: Arc<Shared>,
    /// The savepoint that it is, where it is nested.
    savepoint: Option<u64>,
    is_over: bool,
}

/// What a transaction and those that are nested in it have in common.
struct Shared {
    /// Nothing when it is over.
    transaction: Mutex<Option<millpond_sqlx::Transaction<'static>>>,
    savepoints: SyncMutex<Savepoints>,
    /// It was dropped while one nested in it was at work.
    is_dropped: AtomicBool,
}

/// The one statement at a time that a transaction runs.
type Running<'a> = MutexGuard<'a, Option<millpond_sqlx::Transaction<'static>>>;

impl Shared {
    fn savepoints(&self) -> SyncGuard<'_, Savepoints> {
        self.savepoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(
        "the transaction is over: it was committed, rolled back or dropped".into(),
    ))
}

/// The connection in which the transaction runs.
fn connection<'a>(running: &'a mut Running<'_>) -> Result<&'a mut PgConnection, DbErr> {
    Ok(running.as_mut().ok_or_else(is_over)?)
}

async fn run(running: &mut Running<'_>, text: String) -> Result<(), DbErr> {
    let ran = sqlx::raw_sql(AssertSqlSafe(text)).execute(connection(running)?).await;
    ran.map(drop).map_err(in_execution)
}

fn name(savepoint: u64) -> String {
    format!("millpond_{savepoint}")
}

fn undo(savepoint: u64) -> String {
    format!("ROLLBACK TO SAVEPOINT {}", name(savepoint))
}

impl Routed {
    /// Waits for its turn, and has undone what nested ones left that were dropped.
    async fn running(&self) -> Result<Running<'_>, DbErr> {
        let mut running = self.shared.transaction.lock().await;
        if self.shared.is_dropped.load(Ordering::Acquire) {
            drop(running.take());
        }
        loop {
            let to_undo = self.shared.savepoints().to_undo();
            let Some(savepoint) = to_undo else { break };
            run(&mut running, undo(savepoint)).await?;
            self.shared.savepoints().undone(savepoint);
        }
        let is_open = self.savepoint.is_none_or(|savepoint| self.shared.savepoints().is_open(savepoint));
        if is_open && running.is_some() { Ok(running) } else { Err(is_over()) }
    }

    async fn nested(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        let mut running = self.running().await?;
        let savepoint = self.shared.savepoints().number();
        run(&mut running, format!("SAVEPOINT {}", name(savepoint))).await?;
        self.shared.savepoints().opened(savepoint);
        let nested = Self { shared: Arc::clone(&self.shared), savepoint: Some(savepoint), is_over: false };
        if let Some(modes) = modes_of(options) {
            run(&mut running, format!("SET TRANSACTION {modes}")).await?;
        }
        Ok(nested)
    }

    async fn commit(mut self) -> Result<(), DbErr> {
        let mut running = self.running().await?;
        let left = self.shared.savepoints().left_inside(self.savepoint);
        if let Some(left) = left {
            run(&mut running, undo(left)).await?;
        }
        let committed = match self.savepoint {
            Some(savepoint) => {
                let released = run(&mut running, format!("RELEASE SAVEPOINT {}", name(savepoint))).await;
                // Refused, it is dropped as it stands.
                released.inspect(|()| self.shared.savepoints().over(savepoint))
            }
            None => running.take().ok_or_else(is_over)?.commit().await.map_err(in_query),
        };
        drop(running);
        self.is_over = committed.is_ok();
        committed
    }

    async fn rollback(mut self) -> Result<(), DbErr> {
        let mut running = self.running().await?;
        let ended = match self.savepoint {
            Some(savepoint) => {
                let undone = run(&mut running, undo(savepoint)).await;
                undone.inspect(|()| self.shared.savepoints().over(savepoint))
            }
            None => running.take().ok_or_else(is_over)?.rollback().await.map_err(in_query),
        };
        drop(running);
        self.is_over = ended.is_ok();
        ended
    }
}

impl Drop for Routed {
    fn drop(&mut self) {
        match self.savepoint {
            _ if self.is_over => {}
            Some(savepoint) => self.shared.savepoints().dropped(savepoint),
            None => match self.shared.transaction.try_lock() {
                Ok(mut running) => drop(running.take()),
                Err(_) => self.shared.is_dropped.store(true, Ordering::Release),
            },
        }
    }
}

/// The words for what a transaction is to be, if they are any.
pub(crate) fn modes_of(options: TransactionOptions) -> Option<String> {
    let isolation = options.isolation_level.map(|level| format!("ISOLATION LEVEL {level}"));
    let access = options.access_mode.map(|mode| mode.to_string());
    let modes: Vec<_> = isolation.into_iter().chain(access).collect();
    (!modes.is_empty()).then(|| modes.join(" "))
}

pub(crate) fn options_of(
    isolation_level: Option<IsolationLevel>,
    access_mode: Option<AccessMode>,
) -> TransactionOptions {
    TransactionOptions { isolation_level, access_mode, sqlite_transaction_mode: None }
}

/// Commits what a callback did that gave a value, and rolls back what one did that failed.
pub(crate) async fn settle<T, E>(
    transaction: DatabaseTransaction,
    answer: Result<T, E>,
) -> Result<T, TransactionError<E>>
where
    E: fmt::Display + fmt::Debug,
{
    match answer {
        Ok(value) => {
            transaction.commit().await.map_err(TransactionError::Connection)?;
            Ok(value)
        }
        Err(error) => {
            // Dropped it is rolled back too: what the callback says is worth more than what the server says to that.
            let _ = transaction.rollback().await;
            Err(TransactionError::Transaction(error))
        }
    }
}

impl DatabaseTransaction {
    pub(crate) fn routed(transaction: millpond_sqlx::Transaction<'static>) -> Self {
        let shared = Shared {
            transaction: Mutex::new(Some(transaction)),
            savepoints: SyncMutex::default(),
            is_dropped: AtomicBool::new(false),
        };
        Self { inner: Inner::Routed(Routed { shared: Arc::new(shared), savepoint: None, is_over: false }) }
    }

    pub(crate) const fn plain(transaction: sea_orm::DatabaseTransaction) -> Self {
        Self { inner: Inner::Plain(transaction) }
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
    pub async fn commit(self) -> Result<(), DbErr> {
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
    pub async fn rollback(self) -> Result<(), DbErr> {
        match self.inner {
            Inner::Routed(routed) => routed.rollback().await,
            Inner::Plain(transaction) => transaction.rollback().await,
        }
    }

    /// Runs an async closure in a transaction nested in this one: committed when it gives a value, rolled back when it fails.
    ///
    /// # Errors
    ///
    /// The closure's own, or what the server says to the transaction.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe but for the commit: see [`commit`](Self::commit).
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let nested = self.begin().await.map_err(TransactionError::Connection)?;
        let answer = callback(&nested).await;
        settle(nested, answer).await
    }
}

#[async_trait]
impl TransactionSession for DatabaseTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        self.commit().await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        self.rollback().await
    }
}

#[async_trait]
impl ConnectionTrait for DatabaseTransaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.inner {
            Inner::Routed(_) => DbBackend::Postgres,
            Inner::Plain(transaction) => ConnectionTrait::get_database_backend(transaction),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Routed(routed) => execute(connection(&mut routed.running().await?)?, statement).await,
            Inner::Plain(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Routed(routed) => execute_unprepared(connection(&mut routed.running().await?)?, sql).await,
            Inner::Plain(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Routed(routed) => query_one(connection(&mut routed.running().await?)?, statement).await,
            Inner::Plain(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Routed(routed) => query_all(connection(&mut routed.running().await?)?, statement).await,
            Inner::Plain(transaction) => transaction.query_all_raw(statement).await,
        }
    }

    fn is_mock_connection(&self) -> bool {
        match &self.inner {
            Inner::Routed(_) => false,
            Inner::Plain(transaction) => transaction.is_mock_connection(),
        }
    }
}

impl StreamTrait for DatabaseTransaction {
    type Stream<'a> = QueryStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<QueryStream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            let routed = match &self.inner {
                Inner::Routed(routed) => routed,
                Inner::Plain(transaction) => {
                    return transaction.stream_raw(statement).await.map(QueryStream::new);
                }
            };
            let mut running = routed.running().await?;
            Ok(QueryStream::new(try_stream! {
                let mut rows = query_of(statement).fetch(connection(&mut running)?);
                while let Some(row) = rows.try_next().await.map_err(in_query)? {
                    yield row.into();
                }
            }))
        })
    }
}

#[async_trait]
impl TransactionTrait for DatabaseTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        self.begin_with_options(TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        self.begin_with_options(options_of(isolation_level, access_mode)).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        match &self.inner {
            Inner::Routed(routed) => {
                routed.nested(options).await.map(|nested| Self { inner: Inner::Routed(nested) })
            }
            Inner::Plain(transaction) => transaction.begin_with_options(options).await.map(Self::plain),
        }
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.transaction_with_config(callback, None, None).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let nested = self.begin_with_config(isolation_level, access_mode).await;
        let nested = nested.map_err(TransactionError::Connection)?;
        let answer = callback(&nested).await;
        settle(nested, answer).await
    }
}

impl fmt::Debug for DatabaseTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let savepoint = match &self.inner {
            Inner::Routed(routed) => routed.savepoint,
            Inner::Plain(_) => None,
        };
        f.debug_struct("DatabaseTransaction").field("savepoint", &savepoint).finish_non_exhaustive()
    }
}
