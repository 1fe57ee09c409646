//! The pool that stands in the place of sqlx's.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::join;
use millpond_cluster::core::{Access, Freshness};
use millpond_cluster::sql::{Classification, Dialect, Effects};
use millpond_cluster::{Explanation, Handle, Mode, Sessions, Statement};
use millpond_postgres::foundation::{OpenTransaction, Take};
use millpond_postgres::{NodeStatus, Report, ShadowReport, Status, Switches, Token, TokenError};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions as SqlxPoolOptions, PgRow, Postgres};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use tokio::time::Instant;

use crate::acquire::PoolConnection;
use crate::backend::Sqlx;
use crate::error::in_sqlx;
use crate::operation::{Begin, Begun, Failed, FetchAll, Run, Stream, Verb};
use crate::query::Query;
use crate::transaction::Transaction;
use crate::writer::Writer;

/// A pool of connections to a PostgreSQL primary and its replicas, in the place of [`sqlx::PgPool`]: cheap to clone, `&PgPool` is an
/// [`Executor`](sqlx::Executor) and [`Acquire`](sqlx::Acquire).
///
/// Each statement is read and, in [`Mode::Route`], sent where it may run: plain reads to a replica that is fresh enough, everything else to the
/// primary. In [`Mode::Shadow`], which is how a pool starts unless told otherwise, everything goes to the primary, and
/// [`shadow_report`](Self::shadow_report) says what would not. Reads show what this process has written, and are at most
/// [`max_lag`](millpond_postgres::Builder::max_lag) old.
///
/// A statement that sets or needs the state of one connection (`SET`, an advisory lock, a temporary table) goes to the primary, and the
/// log warns of it: what it leaves behind is taken away before anybody else gets the connection.
#[derive(Clone)]
pub struct PgPool {
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Routed(Routed),
    /// One of sqlx's, as it is.
    Plain(sqlx::PgPool),
}

/// A handle to the cluster, and what all have in common.
#[derive(Clone)]
pub(crate) struct Routed {
    pub(crate) handle: Handle<Sqlx>,
    pub(crate) shared: Arc<Shared>,
}

/// What all clones of a pool have in common.
pub(crate) struct Shared {
    options: Arc<Mutex<PgConnectOptions>>,
    writer_options: SqlxPoolOptions,
    writer: OnceLock<Writer>,
}

impl PgPool {
    /// Connects to a cluster with the default settings, in [`Mode::Shadow`]. The URL is sqlx's, with all nodes in it:
    /// `postgres://user:password@db-0,db-1,db-2/shop`. Roles are found by asking.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read, or no node that answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        crate::PgPoolOptions::new().connect(url).await
    }

    /// The same from sqlx's options, which have one node.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(options: PgConnectOptions) -> Result<Self, sqlx::Error> {
        crate::PgPoolOptions::new().connect_with(options).await
    }

    /// The same without waiting for anybody. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read.
    pub fn connect_lazy(url: &str) -> Result<Self, sqlx::Error> {
        crate::PgPoolOptions::new().connect_lazy(url)
    }

    pub(crate) fn routed(
        handle: Handle<Sqlx>,
        options: Arc<Mutex<PgConnectOptions>>,
        writer_options: SqlxPoolOptions,
    ) -> Self {
        let shared = Shared { options, writer_options, writer: OnceLock::new() };
        Self { kind: Kind::Routed(Routed { handle, shared: Arc::new(shared) }) }
    }

    /// Connects anew with these from now on, wherever the nodes are: for passwords that rotate. Where the server is they do not say. Monitors take the
    /// password alone.
    pub fn set_connect_options(&self, options: PgConnectOptions) {
        match &self.kind {
            Kind::Routed(routed) => {
                *routed.shared.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
                if let Some(writer) = routed.shared.writer.get() {
                    writer.look_again();
                }
            }
            Kind::Plain(pool) => pool.set_connect_options(options),
        }
    }

    /// A line of statements whose reads show its own writes, and those of the tokens that it was given.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { pool: self.with_handle(Handle::session) }
    }

    fn with_handle(&self, change: impl FnOnce(&Handle<Sqlx>) -> Handle<Sqlx>) -> Self {
        let kind = match &self.kind {
            Kind::Routed(Routed { handle, shared }) => {
                Kind::Routed(Routed { handle: change(handle), shared: Arc::clone(shared) })
            }
            Kind::Plain(pool) => Kind::Plain(pool.clone()),
        };
        Self { kind }
    }

    /// For reads that may be so old. **They need not show this process's writes**; those of a [session](Self::session) do.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        self.with_handle(|handle| handle.with_freshness(Freshness::Within(limit)))
    }

    /// For reads from any replica that answers, however old.
    #[must_use]
    pub fn any(&self) -> Self {
        self.with_handle(|handle| handle.with_freshness(Freshness::Any))
    }

    /// For reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        self.with_handle(|handle| handle.with_freshness(Freshness::Latest))
    }

    /// For reads that wait so long for a replica that may serve them, before they go to the primary.
    #[must_use]
    pub fn wait_for_replica(&self, limit: Duration) -> Self {
        self.with_handle(|handle| handle.with_wait(limit))
    }

    /// For reads that never go to the primary.
    #[must_use]
    pub fn replicas_only(&self) -> Self {
        self.with_handle(Handle::with_replicas_only)
    }

    /// For calls that may take so long in all, the wait for a connection included.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        self.with_handle(|handle| handle.with_timeout(limit))
    }

    /// For statements that say in `report` where they ran, and why there.
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        self.with_handle(|handle| handle.with_report(report))
    }

    /// Begins a transaction on the primary. What it runs is not seen: where it defines something, as a migration does, say so with
    /// [`defined`](Self::defined).
    ///
    /// # Errors
    ///
    /// No connection, or no primary, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nobody else gets a connection in a transaction.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction<'static, Postgres>, sqlx::Error>> + Send {
        self.begin_at(Location::caller(), None, Access::Write)
    }

    /// The same with a statement of its own in the place of `BEGIN`.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin), and what the server says to the statement.
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    #[track_caller]
    pub fn begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> impl Future<Output = Result<Transaction<'static, Postgres>, sqlx::Error>> + Send {
        self.begin_at(Location::caller(), Some(statement.into_sql_str()), Access::Write)
    }

    /// Begins a transaction that only reads, on a replica that is fresh enough.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    #[track_caller]
    pub fn begin_read_only(
        &self,
    ) -> impl Future<Output = Result<Transaction<'static, Postgres>, sqlx::Error>> + Send {
        self.begin_at(Location::caller(), Some(SqlStr::from_static("BEGIN READ ONLY")), Access::Read)
    }

    /// The same with a statement of its own, as `BEGIN ISOLATION LEVEL REPEATABLE READ`: it only reads, whatever that says. A replica refuses one that is
    /// serializable.
    ///
    /// # Errors
    ///
    /// As [`begin_with`](Self::begin_with).
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    #[track_caller]
    pub fn begin_read_only_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> impl Future<Output = Result<Transaction<'static, Postgres>, sqlx::Error>> + Send {
        let statement = statement.into_sql_str();
        // A comment at its end must not hide what follows.
        let read_only = format!("{}\n;SET TRANSACTION READ ONLY", statement.as_str());
        self.begin_at(Location::caller(), Some(AssertSqlSafe(read_only).into_sql_str()), Access::Read)
    }

    async fn begin_at(
        &self,
        site: &'static Location<'static>,
        text: Option<SqlStr>,
        access: Access,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let routed = match &self.kind {
            Kind::Routed(routed) => routed,
            Kind::Plain(pool) => {
                let begun = match text {
                    Some(text) => pool.begin_with(text).await,
                    None => pool.begin().await,
                };
                return begun.map(Transaction::plain);
            }
        };
        let statement = Statement::connection(access).seen_as("begin");
        let mut begin = Begin { text, failed: Failed::default() };
        match routed.handle.run(statement, &mut begin).await {
            Ok((lease, purpose)) => {
                Ok(Transaction::routed(OpenTransaction::new(lease, purpose, access, &routed.handle, site)))
            }
            Err(error) => Err(begin.failed.instead_of(error)),
        }
    }

    /// A connection to the primary, that derefs to `PgConnection`.
    ///
    /// What is done on it is not seen: as long as it is out, reads of this pool, or of the session that it was taken from, go to the primary. For
    /// what holds connections for long, as listeners and job queues, there is [`writer_pool`](Self::writer_pool).
    ///
    /// # Errors
    ///
    /// No connection, or no primary, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<PoolConnection, sqlx::Error>> + Send {
        self.acquire_at(Location::caller())
    }

    pub(crate) async fn acquire_at(
        &self,
        site: &'static Location<'static>,
    ) -> Result<PoolConnection, sqlx::Error> {
        let routed = match &self.kind {
            Kind::Routed(routed) => routed,
            Kind::Plain(pool) => return Ok(PoolConnection::plain(pool.acquire().await?)),
        };
        let taken = routed.handle.run(Statement::connection(Access::Write), &mut Take).await;
        let (lease, _) = taken.map_err(in_sqlx)?;
        Ok(PoolConnection::routed(lease, &routed.handle, site))
    }

    /// One pool of sqlx's that leads to whichever node is the primary, for code that takes an `sqlx::PgPool`: listeners, COPY, migrations, job queues,
    /// session stores. It has connections of its own, as many as this one may have to the primary, and opens them when they are wanted.
    ///
    /// What it writes is not seen here: a reader that must show it asks for the [latest](Self::latest), or for a token.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, the first time that it is called.
    #[must_use]
    pub fn writer_pool(&self) -> sqlx::PgPool {
        match &self.kind {
            Kind::Routed(routed) => routed.writer().pool.clone(),
            Kind::Plain(pool) => pool.clone(),
        }
    }

    /// Hands out no more connections, and waits until those that are out came back.
    pub async fn close(&self) {
        match &self.kind {
            Kind::Routed(routed) => {
                let writer = async {
                    if let Some(writer) = routed.shared.writer.get() {
                        writer.pool.close().await;
                    }
                };
                join(writer, routed.handle.cluster().close(Duration::MAX)).await;
            }
            Kind::Plain(pool) => pool.close().await,
        }
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.kind {
            Kind::Routed(routed) => routed.handle.is_closed(),
            Kind::Plain(pool) => pool.is_closed(),
        }
    }

    /// How many connections there are, to all nodes, those of the [writer pool](Self::writer_pool) among them.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.count(|status| status.connections, sqlx::PgPool::size)
    }

    /// How many of them nobody uses.
    #[must_use]
    pub fn num_idle(&self) -> usize {
        let idle = |pool: &sqlx::PgPool| u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        usize::try_from(self.count(|status| status.idle, idle)).unwrap_or(usize::MAX)
    }

    fn count(&self, of: fn(&NodeStatus) -> usize, of_pool: impl Fn(&sqlx::PgPool) -> u32) -> u32 {
        match &self.kind {
            Kind::Routed(routed) => {
                let nodes: usize = routed.handle.cluster().status().nodes.iter().map(of).sum();
                let writer = routed.shared.writer.get().map_or(0, |writer| of_pool(&writer.pool));
                u32::try_from(nodes).unwrap_or(u32::MAX).saturating_add(writer)
            }
            Kind::Plain(pool) => of_pool(pool),
        }
    }

    /// Reads from here on show all that had been written when this is called, wherever it was written: the primary serves them until a replica is known to
    /// show that. For what came by another way than with a token, as a notification. Of the session, where this is one's or the task is in one; of the
    /// process else.
    pub fn see_latest(&self) {
        if let Some(handle) = self.cluster() {
            handle.see_latest();
        }
    }

    /// Says that something was defined by what is not seen: on a connection, in a transaction, by a migration. Until the catalog shows it no text is
    /// taken for a read; otherwise it is known with the next time that the catalog is loaded, within a minute.
    pub fn defined(&self) {
        if let Some(handle) = self.cluster() {
            handle.defined();
            // Replicas have it when they have replayed it: until then it would be missing there.
            handle.cluster().handle().see_latest();
        }
    }

    /// Where a statement would go now, and why; nothing on a pool that was made of one of sqlx's.
    #[must_use]
    pub fn explain(&self, sql: &str) -> Option<Explanation> {
        self.cluster().map(|handle| handle.explain(sql))
    }

    /// How the nodes stand; nothing on a pool that was made of one of sqlx's.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.cluster().map(|handle| handle.cluster().status())
    }

    /// What of the statements that ran in [`Mode::Shadow`] would have gone to replicas; nothing on a pool that was made of one of sqlx's.
    #[must_use]
    pub fn shadow_report(&self) -> Option<ShadowReport> {
        self.cluster().map(|handle| handle.cluster().shadow_report())
    }

    /// Switches the mode, from the next statement on. Without meaning on a pool that was made of one of sqlx's.
    pub fn set_mode(&self, mode: Mode) {
        if let Some(handle) = self.cluster() {
            handle.cluster().set_mode(mode);
        }
    }

    /// Sets all switches for incidents, from the next statement on. Without meaning on a pool that was made of one of sqlx's.
    pub fn set_switches(&self, switches: &Switches) {
        if let Some(handle) = self.cluster() {
            handle.cluster().set_switches(switches);
        }
    }

    const fn cluster(&self) -> Option<&Handle<Sqlx>> {
        match &self.kind {
            Kind::Routed(routed) => Some(&routed.handle),
            Kind::Plain(_) => None,
        }
    }
}

impl Routed {
    /// Whether the primary is asked where it is behind a write: for a session, whose token says so.
    fn is_placed(&self) -> bool {
        self.handle.is_session() || self.handle.current().is_some()
    }

    pub(crate) fn writer(&self) -> &Writer {
        self.shared.writer.get_or_init(|| {
            // Not what this handle was told of limits and ages.
            let handle = self.handle.cluster().handle();
            Writer::new(self.shared.writer_options.clone(), handle)
        })
    }

    fn classify(&self, sql: &str) -> Classification {
        let classification = self.handle.classify(sql);
        let effects = classification.effects();
        if effects.outlives_statement() || effects.contains(Effects::TRANSACTION) {
            tracing::warn!(
                target: "millpond",
                %effects,
                "a statement on the pool sets or needs the state of one connection, which is taken away behind it: use a transaction or acquire()"
            );
        }
        classification
    }

    /// Runs a call where its statement may run.
    pub(crate) async fn run<V: Verb>(&self, verb: V) -> Result<V::Output, sqlx::Error> {
        let classification = self.classify(verb.text().as_str());
        run(&self.handle, classification, self.is_placed(), verb).await
    }

    /// The same for an answer that is read bit by bit.
    pub(crate) async fn stream(&self, query: Query) -> Result<(Begun, WroteAtTheEnd), sqlx::Error> {
        let sql = query.text();
        let classification = self.classify(sql.as_str());
        let statement = Statement::text(sql.as_str(), &classification, Dialect::Postgres);
        let mut stream = Stream { query, classification, failed: Failed::default() };
        match self.handle.run(statement, &mut stream).await {
            Ok(begun) => {
                let is_write = !begun.access.is_read();
                Ok((begun, WroteAtTheEnd(is_write.then(|| self.handle.here()))))
            }
            Err(error) => Err(stream.failed.instead_of(error)),
        }
    }
}

/// A statement that writes and gives rows is over when its rows are, or when nobody reads them any more.
pub(crate) struct WroteAtTheEnd(Option<Handle<Sqlx>>);

impl Drop for WroteAtTheEnd {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.wrote();
        }
    }
}

/// The rows of a query of our own, from the primary.
pub(crate) async fn run_on_primary(handle: &Handle<Sqlx>, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
    let latest = handle.with_freshness(Freshness::Latest);
    let classification = latest.classify(query.text().as_str());
    run(&latest, classification, false, FetchAll(query)).await
}

async fn run<V: Verb>(
    handle: &Handle<Sqlx>,
    classification: Classification,
    is_placed: bool,
    verb: V,
) -> Result<V::Output, sqlx::Error> {
    let sql = verb.text();
    let statement = Statement::text(sql.as_str(), &classification, Dialect::Postgres);
    let backend = handle.cluster().backend();
    let mut run = Run { backend, verb, classification, is_placed, failed: Failed::default() };
    let answer = handle.run(statement, &mut run).await;
    answer.map_err(|error| run.failed.instead_of(error))
}

/// As it is: one node, without monitors, where nothing is read or routed. For tests that are given a pool of sqlx's, as by `#[sqlx::test]`.
impl From<sqlx::PgPool> for PgPool {
    fn from(pool: sqlx::PgPool) -> Self {
        Self { kind: Kind::Plain(pool) }
    }
}

impl fmt::Debug for PgPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Routed(routed) => f
                .debug_struct("PgPool")
                .field("freshness", &routed.handle.freshness())
                .finish_non_exhaustive(),
            Kind::Plain(pool) => f.debug_tuple("PgPool").field(pool).finish(),
        }
    }
}

/// A line of statements whose reads show its own writes: a [`PgPool`], with a token. `&session` is an executor too. Clones are the same session.
#[derive(Clone, Debug)]
pub struct Session {
    pool: PgPool,
}

impl Session {
    /// What a reader elsewhere must be able to see to see what was written here; nothing on a pool that was made of one of sqlx's. While what is not
    /// seen is out, as a transaction of sqlx's own, that is everything that was written until now.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.pool.cluster().map(Handle::token)
    }

    /// [`PgPool::begin`], whose commit the session shows. Not that of [`Acquire`](sqlx::Acquire), which would be found first.
    ///
    /// # Errors
    ///
    /// As [`PgPool::begin`].
    ///
    /// # Cancel safety
    ///
    /// As [`PgPool::begin`].
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction<'static, Postgres>, sqlx::Error>> + Send {
        self.pool.begin()
    }

    /// [`PgPool::acquire`].
    ///
    /// # Errors
    ///
    /// As [`PgPool::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`PgPool::acquire`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<PoolConnection, sqlx::Error>> + Send {
        self.pool.acquire()
    }

    /// Reads show what `token` asks for from here on.
    ///
    /// # Errors
    ///
    /// A token of another cluster.
    pub fn see(&self, token: Token) -> Result<(), sqlx::Error> {
        self.pool.cluster().map_or(Ok(()), |handle| handle.see(token)).map_err(in_sqlx)
    }

    /// Reads show what the token in `text` asks for from here on, if it can be used; if it cannot, all that had been written when it came. Gives what was
    /// wrong with it. See [`millpond_postgres::Session::see_or_latest`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn see_or_latest(&self, text: &str) -> Option<TokenError> {
        self.pool.cluster()?.see_or_latest(text).await
    }

    /// The same session, for reads that never show less than one of its earlier ones did.
    #[must_use]
    pub fn monotonic(&self) -> Self {
        Self { pool: self.pool.with_handle(Handle::with_monotonic_reads) }
    }

    /// The same session, for reads that may be so old; they still show its own writes.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { pool: self.pool.within(limit) }
    }

    /// The same session, for reads from any replica that has its own writes.
    #[must_use]
    pub fn any(&self) -> Self {
        Self { pool: self.pool.any() }
    }

    /// The same session, for reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        Self { pool: self.pool.latest() }
    }
}

impl Deref for Session {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

impl Sessions for PgPool {
    type Session = Session;

    fn begin_session(&self, deadline: Option<Instant>) -> Session {
        Session { pool: self.with_handle(|handle| handle.begin_session(deadline)) }
    }

    async fn take_token(session: &Session, text: &str) -> Option<TokenError> {
        session.see_or_latest(text).await
    }

    fn give_token(session: &Session) -> Option<String> {
        session.token().map(|token| token.to_string())
    }

    async fn run_in<F>(session: &Session, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        match session.pool.cluster() {
            Some(handle) => handle.scope(future).await,
            None => future.await,
        }
    }
}
