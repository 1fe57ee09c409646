//! The connection that stands in the place of sea-orm's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use futures_util::TryStreamExt as _;
use millpond_sqlx::{Mode, PgPool, Report, ShadowReport, Status, Switches};
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Schema,
    SchemaBuilder, SqlxPostgresConnector, Statement, StreamTrait, TransactionError, TransactionOptions,
    TransactionTrait,
};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgQueryResult;

use crate::error::{in_acquire, in_query};
use crate::session::Session;
use crate::statement::{execute, execute_unprepared, query_all, query_of, query_one};
use crate::stream::QueryStream;
use crate::transaction::{DatabaseTransaction, modes_of, options_of, settle};

/// A PostgreSQL primary and its replicas, in the place of [`sea_orm::DatabaseConnection`]: cheap to clone, and a [`ConnectionTrait`], [`StreamTrait`]
/// and [`TransactionTrait`].
///
/// Each statement is read and, in [`Mode::Route`], sent where it may run: plain reads to a replica that is fresh enough, everything else to the
/// primary. In [`Mode::Shadow`], which is how a connection starts unless told otherwise, everything goes to the primary, and
/// [`shadow_report`](Self::shadow_report) says what would not. Reads show what this process has written.
#[derive(Clone)]
pub struct DatabaseConnection {
    inner: Inner,
}

/// sea-orm's own short name for it.
pub type DbConn = DatabaseConnection;

#[derive(Clone)]
enum Inner {
    Routed(PgPool),
    /// One of sea-orm's, as it is.
    Plain(sea_orm::DatabaseConnection),
}

pub(crate) type Beginning<'f> = Pin<Box<dyn Future<Output = Result<DatabaseTransaction, DbErr>> + Send + 'f>>;

pub(crate) type Transacting<'f, T, E> =
    Pin<Box<dyn Future<Output = Result<T, TransactionError<E>>> + Send + 'f>>;

/// Opens connections, as [`sea_orm::Database`] does.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Database;

impl Database {
    /// Connects with the default settings, in [`Mode::Shadow`]. The URL is sqlx's, with all nodes in it:
    /// `postgres://user:password@db-0,db-1,db-2/shop`. Roles are found by asking.
    ///
    /// Other settings, those of `sea_orm::ConnectOptions` too, are those of [`PgPoolOptions`](crate::PgPoolOptions), whose pool
    /// [is taken](DatabaseConnection#impl-From%3CPgPool%3E-for-DatabaseConnection).
    ///
    /// # Errors
    ///
    /// A URL that cannot be read, or no node that answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(url: impl AsRef<str>) -> Result<DatabaseConnection, DbErr> {
        PgPool::connect(url.as_ref()).await.map(DatabaseConnection::from).map_err(in_acquire)
    }
}

impl DatabaseConnection {
    /// A line of statements whose reads show its own writes, and those of the tokens that it was given.
    #[must_use]
    pub fn session(&self) -> Session {
        match &self.inner {
            Inner::Routed(pool) => Session::routed(pool.session()),
            Inner::Plain(_) => Session::plain(self.clone()),
        }
    }

    fn with_pool(&self, change: impl FnOnce(&PgPool) -> PgPool) -> Self {
        let inner = match &self.inner {
            Inner::Routed(pool) => Inner::Routed(change(pool)),
            Inner::Plain(connection) => Inner::Plain(connection.clone()),
        };
        Self { inner }
    }

    /// For reads that may be so old. **They need not show this process's writes**; those of a [session](Self::session) do.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        self.with_pool(|pool| pool.within(limit))
    }

    /// For reads from any replica that answers, however old.
    #[must_use]
    pub fn any(&self) -> Self {
        self.with_pool(PgPool::any)
    }

    /// For reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        self.with_pool(PgPool::latest)
    }

    /// For reads that wait so long for a replica that may serve them, before they go to the primary.
    #[must_use]
    pub fn wait_for_replica(&self, limit: Duration) -> Self {
        self.with_pool(|pool| pool.wait_for_replica(limit))
    }

    /// For reads that never go to the primary.
    #[must_use]
    pub fn replicas_only(&self) -> Self {
        self.with_pool(PgPool::replicas_only)
    }

    /// For calls that may take so long in all, the wait for a connection included.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        self.with_pool(|pool| pool.timeout(limit))
    }

    /// For statements that say in `report` where they ran, and why there.
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        self.with_pool(|pool| pool.with_report(report))
    }

    /// One of sea-orm's that leads to whichever node is the primary, for code that takes an `sea_orm::DatabaseConnection`: migrations, schema builders. It
    /// has connections of its own. See [`PgPool::writer_pool`].
    ///
    /// What it writes is not seen here: a reader that must show it asks for the [latest](Self::latest). What a migration
    /// [defined](Self::defined) is to be told.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, the first time that it is called.
    #[must_use]
    pub fn writer(&self) -> sea_orm::DatabaseConnection {
        match &self.inner {
            Inner::Routed(pool) => SqlxPostgresConnector::from_sqlx_postgres_pool(pool.writer_pool()),
            Inner::Plain(connection) => connection.clone(),
        }
    }

    /// Reads from here on show all that had been written when this is called, wherever it was written: the primary serves them until a replica is known to
    /// show that. For what came by another way than with a token, as a notification. Of the session, where this is one's or the task is in one; of the
    /// process else.
    pub fn see_latest(&self) {
        if let Some(pool) = self.pool() {
            pool.see_latest();
        }
    }

    /// Says that something was defined by what is not seen, as by a migration. Until the catalog shows it no text is taken for a read.
    pub fn defined(&self) {
        if let Some(pool) = self.pool() {
            pool.defined();
        }
    }

    /// The pool that its statements run on; nothing on one that was made of one of sea-orm's.
    #[must_use]
    pub const fn pool(&self) -> Option<&PgPool> {
        match &self.inner {
            Inner::Routed(pool) => Some(pool),
            Inner::Plain(_) => None,
        }
    }

    /// How the nodes stand; nothing on one that was made of one of sea-orm's.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.pool()?.status()
    }

    /// What of the statements that ran in [`Mode::Shadow`] would have gone to replicas; nothing on one that was made of one of sea-orm's.
    #[must_use]
    pub fn shadow_report(&self) -> Option<ShadowReport> {
        self.pool()?.shadow_report()
    }

    /// Switches the mode, from the next statement on. Without meaning on one that was made of one of sea-orm's.
    pub fn set_mode(&self, mode: Mode) {
        if let Some(pool) = self.pool() {
            pool.set_mode(mode);
        }
    }

    /// Sets all switches for incidents, from the next statement on. Without meaning on one that was made of one of sea-orm's.
    pub fn set_switches(&self, switches: &Switches) {
        if let Some(pool) = self.pool() {
            pool.set_switches(switches);
        }
    }

    /// What builds a schema for this backend, as sea-orm's does.
    #[must_use]
    pub fn get_schema_builder(&self) -> SchemaBuilder {
        Schema::new(ConnectionTrait::get_database_backend(self)).builder()
    }

    /// Asks the primary whether it is there.
    ///
    /// # Errors
    ///
    /// It is not, or there is none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn ping(&self) -> Result<(), DbErr> {
        match &self.inner {
            Inner::Routed(pool) => {
                let answer: Result<PgQueryResult, _> =
                    sqlx::Executor::execute(&pool.latest(), AssertSqlSafe("SELECT")).await;
                answer.map(drop).map_err(in_acquire)
            }
            Inner::Plain(connection) => connection.ping().await,
        }
    }

    /// Hands out no more connections, and waits until those that are out came back.
    ///
    /// # Errors
    ///
    /// What sea-orm says, on one that was made of one of its own.
    pub async fn close(self) -> Result<(), DbErr> {
        self.close_by_ref().await
    }

    /// The same of all clones.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_by_ref(&self) -> Result<(), DbErr> {
        match &self.inner {
            Inner::Routed(pool) => {
                pool.close().await;
                Ok(())
            }
            Inner::Plain(connection) => connection.close_by_ref().await,
        }
    }

    /// Begins a transaction that was taken where this is called.
    #[track_caller]
    fn begin_here(&self, options: TransactionOptions) -> Beginning<'_> {
        let pool = match &self.inner {
            Inner::Routed(pool) => pool,
            Inner::Plain(connection) => {
                return Box::pin(async move {
                    connection.begin_with_options(options).await.map(DatabaseTransaction::plain)
                });
            }
        };
        // A replica knows no serializable transactions.
        let may_be_on_replica = options.access_mode == Some(AccessMode::ReadOnly)
            && options.isolation_level != Some(IsolationLevel::Serializable);
        let begun: BoxFuture<'_, _> =
            match modes_of(options).map(|modes| AssertSqlSafe(format!("BEGIN {modes}"))) {
                None => Box::pin(pool.begin()),
                Some(text) if may_be_on_replica => Box::pin(pool.begin_read_only_with(text)),
                Some(text) => Box::pin(pool.begin_with(text)),
            };
        Box::pin(async move { begun.await.map(DatabaseTransaction::routed).map_err(in_acquire) })
    }

    /// Runs an async closure in a transaction: committed when it gives a value, rolled back when it fails.
    ///
    /// # Errors
    ///
    /// The closure's own, or what the server says to the transaction.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe but for the commit: see [`DatabaseTransaction::commit`].
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c DatabaseTransaction) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        self.transaction_with_config_async(callback, None, None).await
    }

    /// The same with an isolation level and an access mode: one that only reads runs on a replica.
    ///
    /// # Errors
    ///
    /// As [`transaction_async`](Self::transaction_async).
    ///
    /// # Cancel safety
    ///
    /// As [`transaction_async`](Self::transaction_async).
    pub async fn transaction_with_config_async<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c DatabaseTransaction) -> Result<T, E> + Send,
        T: Send,
        E: fmt::Display + fmt::Debug + Send,
    {
        let begun = self.begin_with_config(isolation_level, access_mode).await;
        let transaction = begun.map_err(TransactionError::Connection)?;
        let answer = callback(&transaction).await;
        settle(transaction, answer).await
    }
}

/// Of a pool with settings of its own: `PgPoolOptions::new().max_connections(20).route().connect(url).await?.into()`.
impl From<PgPool> for DatabaseConnection {
    fn from(pool: PgPool) -> Self {
        Self { inner: Inner::Routed(pool) }
    }
}

/// As it is: one node, without monitors, where nothing is read or routed. For tests, and for mocks.
impl From<sea_orm::DatabaseConnection> for DatabaseConnection {
    fn from(connection: sea_orm::DatabaseConnection) -> Self {
        Self { inner: Inner::Plain(connection) }
    }
}

#[async_trait]
impl ConnectionTrait for DatabaseConnection {
    fn get_database_backend(&self) -> DbBackend {
        match &self.inner {
            Inner::Routed(_) => DbBackend::Postgres,
            Inner::Plain(connection) => connection.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Routed(pool) => execute(pool, statement).await,
            Inner::Plain(connection) => connection.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Routed(pool) => execute_unprepared(pool, sql).await,
            Inner::Plain(connection) => connection.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Routed(pool) => query_one(pool, statement).await,
            Inner::Plain(connection) => connection.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Routed(pool) => query_all(pool, statement).await,
            Inner::Plain(connection) => connection.query_all_raw(statement).await,
        }
    }

    fn is_mock_connection(&self) -> bool {
        match &self.inner {
            Inner::Routed(_) => false,
            Inner::Plain(connection) => connection.is_mock_connection(),
        }
    }
}

impl StreamTrait for DatabaseConnection {
    type Stream<'a> = QueryStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<QueryStream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            match &self.inner {
                Inner::Routed(pool) => {
                    let rows = query_of(statement).fetch(pool);
                    Ok(QueryStream::new(rows.map_ok(QueryResult::from).map_err(in_query)))
                }
                Inner::Plain(connection) => connection.stream_raw(statement).await.map(QueryStream::new),
            }
        })
    }
}

// By hand, since what is begun is to be known by the place of its caller, which in an async function is not told.
impl TransactionTrait for DatabaseConnection {
    type Transaction = DatabaseTransaction;

    #[track_caller]
    fn begin<'s, 'f>(&'s self) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.begin_here(TransactionOptions::default())
    }

    #[track_caller]
    fn begin_with_config<'s, 'f>(
        &'s self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.begin_here(options_of(isolation_level, access_mode))
    }

    #[track_caller]
    fn begin_with_options<'s, 'f>(&'s self, options: TransactionOptions) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.begin_here(options)
    }

    #[track_caller]
    fn transaction<'s, 'f, F, T, E>(&'s self, callback: F) -> Transacting<'f, T, E>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send
            + 'f,
        T: Send + 'f,
        E: fmt::Display + fmt::Debug + Send + 'f,
        's: 'f,
        Self: 'f,
    {
        self.transaction_with_config(callback, None, None)
    }

    #[track_caller]
    fn transaction_with_config<'s, 'f, F, T, E>(
        &'s self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Transacting<'f, T, E>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send
            + 'f,
        T: Send + 'f,
        E: fmt::Display + fmt::Debug + Send + 'f,
        's: 'f,
        Self: 'f,
    {
        let begun = self.begin_with_config(isolation_level, access_mode);
        Box::pin(async move {
            let transaction = begun.await.map_err(TransactionError::Connection)?;
            let answer = callback(&transaction).await;
            settle(transaction, answer).await
        })
    }
}

impl fmt::Debug for DatabaseConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Routed(pool) => f.debug_tuple("DatabaseConnection").field(pool).finish(),
            Inner::Plain(connection) => f.debug_tuple("DatabaseConnection").field(connection).finish(),
        }
    }
}
