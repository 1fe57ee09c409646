use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use millpond_cluster::core::Freshness;
use millpond_cluster::sql::{Analysis, Catalog, Classification, Dialect};
use millpond_cluster::{Explanation, Handle, Mode, Sessions, Statement, Status};
use tokio::time::Instant;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::admit::{admit, behind_pooler, refuse, transaction_commands};
use crate::client::{Params, TypedParams, derived_verbs};
use crate::frame::Kind;
use crate::operation::{Run, Stream};
use crate::rest::Rest;
use crate::scope::Scope;
use crate::verb::{Batch, Execute, OneRow, Query, QueryOne, Simple, Values, Verb};
use crate::{
    Builder, Nodes, Postgres, Report, Result, RowStream, ShadowReport, Switches, Token, TokenError,
    Transaction, TransactionBuilder, WriterPool,
};

/// A handle to a PostgreSQL cluster. Cheap to clone; all clones share pools and monitors.
///
/// Each statement is read and sent where it may run: plain reads to a replica that is fresh enough, everything else to
/// the primary. Reads of a plain handle show what this process has written (of tables that it did not write to any fresh replica does, where the
/// catalog shows which tables a write changes), and are at most `max_lag` (1 s) old;
/// [`within`](Db::within) and [`any`](Db::any) relax that, [`latest`](Db::latest) asks for the primary, and a
/// [`session`](Db::session) shows what was written through it.
///
/// Statements are prepared once per connection and text. A statement that sets or needs the state of one connection
/// (`SET`, `LISTEN`, a temporary table, `BEGIN` as text) is refused, with the words for how to do it.
#[derive(Clone)]
pub struct Db {
    handle: Handle<Postgres>,
    /// What its statements run with.
    scope: Option<Arc<Scope>>,
}

impl Db {
    /// Connects to a cluster with the default settings.
    ///
    /// The URL is libpq's, with all nodes in it: `postgres://user:password@db-0,db-1,db-2/shop`. Roles are found by
    /// asking. Parameters: `sslmode` (`disable`, `prefer`, `require`, `verify-ca`, `verify-full`; off loopback the
    /// default is `verify-full`), `sslrootcert`, `application_name`, `options`, and the driver's own; a host that is a
    /// percent-encoded folder is a Unix socket.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read, or no node that answers. A node that is down is no error, but an event.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(url: &str) -> Result<Self> {
        Builder::from_url(url)?.connect().await
    }

    /// Every setting, on top of a URL.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read.
    pub fn builder(url: &str) -> Result<Builder> {
        Builder::from_url(url)
    }

    pub(crate) const fn new(handle: Handle<Postgres>) -> Self {
        Self { handle, scope: None }
    }

    pub(crate) const fn handle(&self) -> &Handle<Postgres> {
        &self.handle
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.scope.as_deref()
    }

    fn with(&self, handle: Handle<Postgres>) -> Self {
        Self { handle, scope: self.scope.clone() }
    }

    /// A line of statements whose reads show its own writes, and are not older than [`max_lag`](crate::Builder::max_lag): what this handle was
    /// told of ages ([`within`](Db::within), [`any`](Db::any), [`latest`](Db::latest)) is told to the session anew.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { db: self.with(self.handle.session()) }
    }

    /// The session that the task [is in](Session::scope), if it is in one: to bring it into a task that is spawned.
    ///
    /// ```
    /// # use millpond_postgres::Db;
    /// # fn later(db: &Db) {
    /// let (db, session) = (db.clone(), db.current_session());
    /// let work = async move { db.execute("update visit set times = times + 1", &[]).await };
    /// match session {
    ///     Some(session) => tokio::spawn(async move { session.scope(work).await }),
    ///     None => tokio::spawn(work),
    /// };
    /// # }
    /// ```
    #[must_use]
    pub fn current_session(&self) -> Option<Session> {
        self.handle.current().map(|handle| Session { db: self.with(handle) })
    }

    /// For statements that run with settings of their own, as for row security or a tenant's schema: variables of the application,
    /// `role`, `search_path`, or others that a transaction can set. Settings of a handle that has some stay, unless they have the same name.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Result};
    /// # async fn orders(db: &Db, tenant: &str) -> Result<usize> {
    /// let tenant = db.with_settings([("app.tenant", tenant), ("role", "tenant_reader")])?;
    /// Ok(tenant.query("select * from orders", &[]).await?.len())
    /// # }
    /// ```
    ///
    /// Each statement runs in a transaction of its own that sets them and ends with them, so that nobody else ever has them: a read of a
    /// statement that is prepared already takes one round trip, on a replica too. A write takes two, since the server must
    /// have answered the first part before it may see the write: without the settings it would be somebody else's. Transactions begin with them in the same round
    /// trip; a lease has them until it is given back.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used here: what a transaction may do is asked for where it begins, and how texts are read is not changed.
    /// What the server says to a name or value it says to each statement.
    pub fn with_settings<N, V>(&self, settings: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let settings = settings.into_iter().map(|(name, value)| (name.into(), value.into()));
        let scope = Scope::new(self.scope(), settings)?;
        let handle =
            if scope.moves_names() { self.handle.with_any_search_path() } else { self.handle.clone() };
        Ok(Self { handle, scope: Some(Arc::new(scope)) })
    }

    /// For reads that may be so old. **They need not show this process's writes**, however short the limit: for both take a
    /// [`session`](Db::session), whose [`within`](Session::within) keeps its own.
    ///
    /// What is known of a replica's age comes from probes, so that a limit below two of [`probe_interval`](crate::Builder::probe_interval)
    /// sends most reads to the primary.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        self.with(self.handle.with_freshness(Freshness::Within(limit)))
    }

    /// For reads that may be so many bytes of the log behind where the primary was when it was last asked; and as old as
    /// [`within`](Db::within) said before, or as `max_lag`. They need not show this process's writes.
    #[must_use]
    pub fn within_bytes(&self, distance: u64) -> Self {
        self.with(self.handle.with_distance(distance))
    }

    /// For reads that wait so long for a replica that may serve them, before they go to the primary: one that replays in some milliseconds
    /// is worth it. It is part of the time that a call may wait for a connection. Where no replica answers, or is there at all, only those wait
    /// that never go to the [primary](Self::replicas_only). Default: they do not wait.
    ///
    /// Where the process's or session's writes are what is waited for, a server of version 19 or later waits itself (`WAIT FOR LSN`), in front
    /// of the read and in the same round trip, and the read runs in the moment in which the write is there. That takes a connection
    /// for as long: such reads hold at most half of a replica's. A replica that does not get there gets a quarter of the time while
    /// another one may, and what was read behind such a wait in vain was read for nothing. Older servers, and one behind a pooler, are looked at
    /// anew with each answer of a monitor, which is asked to hurry.
    #[must_use]
    pub fn wait_for_replica(&self, limit: Duration) -> Self {
        self.with(self.handle.with_wait(limit))
    }

    /// For reads that never go to the primary, as reports should: where no replica may serve one, it fails with
    /// [`ErrorKind::NoReplica`](crate::ErrorKind::NoReplica). What asks for the primary, by [`latest`](Db::latest) or since it is no plain read, goes there still, and
    /// everything does in [`Mode::PrimaryOnly`].
    #[must_use]
    pub fn replicas_only(&self) -> Self {
        self.with(self.handle.with_replicas_only())
    }

    /// For statements that say in `report` where they ran, why there, how far that node was behind, and how long they waited.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Report, Result};
    /// # async fn orders(db: &Db) -> Result<()> {
    /// let report = Report::new();
    /// let rows = db.with_report(&report).query("select * from orders", &[]).await?;
    /// if let Some(served) = report.last() {
    ///     println!("{served}"); // db-1:5432 as replica: a replica is fresh enough; lag 12 ms, …
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        self.with(self.handle.with_report(report))
    }

    /// For reads from any replica that answers, however old.
    ///
    /// Behind a failover not from one that is known to have stayed on the old timeline, where it may show what was discarded: until it
    /// follows, other replicas and the primary serve such reads, and where there is neither they wait for one. Behind a name that hides many
    /// servers nobody knows the timeline.
    #[must_use]
    pub fn any(&self) -> Self {
        self.with(self.handle.with_freshness(Freshness::Any))
    }

    /// For calls that may take so long in all, the wait for a connection included: each call of this handle, of the sessions and
    /// transactions that it begins, and of their streams until the first row. What was sent and is not answered by then is cancelled on
    /// the server; a write may have run, and later reads take care of that, as if the call had been dropped.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        self.with(self.handle.with_timeout(limit))
    }

    /// For reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        self.with(self.handle.with_freshness(Freshness::Latest))
    }

    /// The rows of a statement.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::Error) says which node, what was said, and by [`outcome`](crate::Error::outcome) whether the statement took effect.
    ///
    /// # Cancel safety
    ///
    /// A dropped read leaves nothing behind. A dropped write may have run; later reads of this handle take care of
    /// that. In both cases the server is told to cancel, and the connection is closed.
    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        self.rows(sql, Values::Inferred(params)).await
    }

    /// The rows of a statement whose parameters are of the types that stand beside them. It is not prepared but sent as it is, in
    /// one round trip: for behind a pooler, and for texts of which there are too many to keep. The first time that a text is run, what
    /// types its columns have is asked in another one; a write behind a pooler is not asked about, and must not give many rows of a type of
    /// the user's.
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn query_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<Vec<Row>> {
        self.rows(sql, Values::Typed(params)).await
    }

    async fn one(&self, sql: &str, values: Values<'_>) -> Result<OneRow> {
        self.run(sql, admit(&self.handle, sql)?, QueryOne { sql, values }).await
    }

    async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>> {
        self.run(sql, admit(&self.handle, sql)?, Query { sql, values }).await
    }

    /// The rows of a statement as they come. The stream holds its connection until its last row.
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query); behind the first row there is no going on to another node.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query), the stream included.
    pub async fn query_raw(&self, sql: &str, params: Params<'_>) -> Result<RowStream> {
        self.stream(sql, Values::Inferred(params)).await
    }

    /// [`query_typed`](Db::query_typed), as a stream.
    ///
    /// # Errors
    ///
    /// As [`query_raw`](Db::query_raw).
    ///
    /// # Cancel safety
    ///
    /// As [`query_raw`](Db::query_raw).
    pub async fn query_typed_raw(&self, sql: &str, params: TypedParams<'_>) -> Result<RowStream> {
        self.stream(sql, Values::Typed(params)).await
    }

    async fn stream(&self, sql: &str, values: Values<'_>) -> Result<RowStream> {
        let classification = admit(&self.handle, sql)?;
        let statement = Statement::text(sql, &classification, Dialect::Postgres);
        let mut stream = Stream { sql, classification, values, scope: self.scope() };
        let rows = self.handle.run(statement, &mut stream).await?;
        Ok(RowStream(Rest::own(rows, &self.handle)))
    }

    /// Runs a statement; the number of rows it affected.
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        self.affected(sql, Values::Inferred(params)).await
    }

    /// Runs a statement whose parameters are of the types that stand beside them, as [`query_typed`](Db::query_typed) does; the
    /// number of rows it affected.
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<u64> {
        self.affected(sql, Values::Typed(params)).await
    }

    async fn affected(&self, sql: &str, values: Values<'_>) -> Result<u64> {
        self.run(sql, admit(&self.handle, sql)?, Execute { sql, values }).await
    }

    async fn run<V: Verb + Send>(
        &self,
        sql: &str,
        classification: Classification,
        verb: V,
    ) -> Result<V::Output> {
        let statement = Statement::text(sql, &classification, Dialect::Postgres);
        self.handle.run(statement, &mut Run { verb, classification, scope: self.scope() }).await
    }

    /// Runs statements without parameters, separated by semicolons, on one connection, and gives their rows as text. What they leave in it
    /// is taken away behind them.
    ///
    /// # Errors
    ///
    /// As [`batch_execute`](Db::batch_execute).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
        self.run(sql, self.admit_batch(sql)?, Simple(sql)).await
    }

    /// Runs statements without parameters, separated by semicolons, on one connection. What they leave in it is taken
    /// away behind them.
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query). Statements before the one that failed may have been committed.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn batch_execute(&self, sql: &str) -> Result<()> {
        self.run(sql, self.admit_batch(sql)?, Batch(sql)).await
    }

    /// Begins a transaction on the primary.
    ///
    /// # Errors
    ///
    /// No connection, or no primary, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nobody else gets a connection in a transaction.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction>> + Send {
        self.build_transaction().start()
    }

    /// A transaction with an isolation level, or that is run again when another one was in its way.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Error};
    /// # use millpond_postgres::tokio_postgres::IsolationLevel;
    /// # async fn move_one(db: &Db) -> Result<(), Error> {
    /// db.build_transaction()
    ///     .isolation_level(IsolationLevel::Serializable)
    ///     .retries(3)
    ///     .run(async |transaction| {
    ///         transaction.execute("update stock set left = left - 1 where id = 7", &[]).await?;
    ///         transaction.execute("insert into sold values (7)", &[]).await
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn build_transaction(&self) -> TransactionBuilder<'_> {
        TransactionBuilder::new(self)
    }

    /// Begins a transaction that only reads, on a replica that is fresh enough, or on the primary.
    ///
    /// # Errors
    ///
    /// No connection before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nobody else gets a connection in a transaction.
    #[track_caller]
    pub fn begin_read_only(&self) -> impl Future<Output = Result<Transaction>> + Send {
        self.build_transaction().read_only(true).start()
    }

    /// Reads from here on show all that had been written when this is called, wherever it was written: the primary serves them until a replica is known to
    /// show that. For what came by another way than with a token, as a notification. Of the session, where this is one's or the task is in one; of the
    /// process else.
    pub fn see_latest(&self) {
        self.handle.see_latest();
    }

    /// A plain pool of connections to whichever node is the primary, for code that wants no more.
    #[must_use]
    pub fn writer_pool(&self) -> WriterPool {
        WriterPool::new(self.clone())
    }

    /// All that a text shows, as far as what the database holds is known: what it does, each of its statements, the tables it
    /// names, its digest.
    #[must_use]
    pub fn analyze(&self, sql: &str) -> Arc<Analysis> {
        self.handle.analyze(sql)
    }

    /// Where a text would go now, and why; nowhere, if the handle would refuse it. Of one statement it is what
    /// [`query`](Db::query) and [`execute`](Db::execute) would do with it, of several what
    /// [`batch_execute`](Db::batch_execute) would.
    #[must_use]
    pub fn explain(&self, sql: &str) -> Explanation {
        match self.admit_batch(sql) {
            Ok(_) => self.handle.explain(sql),
            Err(error) => Explanation::refused(error.to_string()),
        }
    }

    /// What the database holds, as it was asked last, with all that is not known to only read:
    /// [`Catalog::hazards`]. Nothing before the first
    /// answer, for a lone primary, and where it is not asked ([`CatalogSetting`](crate::CatalogSetting)).
    #[must_use]
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.handle.catalog()
    }

    /// Refuses a text of any number of statements that a routed handle cannot run. What several leave in their connection is
    /// taken away behind them.
    fn admit_batch(&self, sql: &str) -> Result<Classification> {
        let classification = self.handle.classify(sql);
        refuse(sql, &classification)?;
        behind_pooler(self.kind(), sql, &classification)?;
        if self.is_framed() {
            // It would end the transaction that holds the settings.
            transaction_commands(sql, &classification)?;
        }
        Ok(classification)
    }

    /// Whether there is a transaction around each statement.
    fn is_framed(&self) -> bool {
        self.scope.is_some() || self.kind() == Kind::Test
    }

    pub(crate) fn kind(&self) -> Kind {
        self.handle.cluster().backend().kind()
    }

    /// How the cluster stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.cluster().status()
    }

    /// Which statements would move to replicas, before any does: what [`Mode::Route`] would have done with each that ran in [`Mode::Shadow`], how
    /// much of the load that is, and what keeps the others on the primary.
    ///
    /// It has all that was recorded in that mode, by this process, since the start or [`clear_shadow_report`](Db::clear_shadow_report); leaving the
    /// mode and coming back loses nothing. A statement costs a lock and its digest more than in another mode.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Mode, Switches};
    /// # fn report(db: &Db) {
    /// db.set_mode(Mode::Shadow);
    /// // A day later:
    /// let report = db.shadow_report();
    /// println!("{report}");
    /// // All may move but the one that takes most time.
    /// if let Some(first) = report.statements().first() {
    ///     db.set_switches(&Switches::mode(Mode::Route).digest(first.digest));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn shadow_report(&self) -> ShadowReport {
        self.handle.cluster().shadow_report()
    }

    /// Forgets what was recorded so far: the next [report](Db::shadow_report) begins now.
    pub fn clear_shadow_report(&self) {
        self.handle.cluster().clear_shadow_report();
    }

    /// The nodes of the cluster, to add some, take some out, or drain them while everything runs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millpond_postgres::{Db, Result};
    /// # async fn replace(db: &Db) -> Result<()> {
    /// db.nodes().add("db-3")?;
    /// db.nodes().drain("db-1")?;
    /// let is_quiet = db.nodes().remove("db-1", Duration::from_secs(30)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn nodes(&self) -> Nodes<'_> {
        Nodes::new(self.handle.cluster())
    }

    /// Switches the mode, for this process, from the next statement on.
    pub fn set_mode(&self, mode: Mode) {
        self.handle.cluster().set_mode(mode);
    }

    /// The switches for incidents that are in force.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.handle.cluster().switches()
    }

    /// Sets all switches for incidents, for this process, from the next statement on: the mode, and statements and tables whose reads go to the
    /// primary. Transactions and leases go by the mode alone.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Mode, Switches};
    /// # fn switch(db: &Db) {
    /// db.set_switches(&Switches::mode(Mode::Route).table(Some("shop"), "cart"));
    /// # }
    /// ```
    pub fn set_switches(&self, switches: &Switches) {
        self.handle.cluster().set_switches(switches);
    }

    /// Stops handing out connections, and waits until those that are out came back or `patience` is over. Says whether
    /// all are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: closing again goes on from there.
    pub async fn close(&self, patience: Duration) -> bool {
        self.handle.cluster().close(patience).await
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("freshness", &self.handle.freshness()).finish_non_exhaustive()
    }
}

/// A line of statements whose reads show its own writes: a [`Db`], with a token. Clones are the same session.
///
/// Give its [`token`](Session::token) to another process, and let a session there [`see`](Session::see) it, and that
/// one's reads show these writes too.
#[derive(Clone, Debug)]
pub struct Session {
    db: Db,
}

impl Session {
    /// What a reader elsewhere must be able to see to see what was written here. What [`see_or_latest`](Session::see_or_latest) could not use here, and
    /// another process may, is handed on as it came.
    #[must_use]
    pub fn token(&self) -> Token {
        self.db.handle.token()
    }

    /// Reads show what `token` asks for from here on. Of a token from before a failover they show what that left of it.
    ///
    /// For a text from outside, which may be old, of another cluster or no token at all, [`see_or_latest`](Session::see_or_latest) has an answer
    /// in every case.
    ///
    /// # Errors
    ///
    /// A token of another cluster: drop it. One of a later timeline than any that this process knows is no error here: all calls of the session, its
    /// writes too, wait for a primary on that timeline as long as they may wait for a connection, and fail with
    /// [`ErrorKind::Token`](crate::ErrorKind::Token). So do those of a session that saw a foreign token before this cluster was known, at once.
    pub fn see(&self, token: Token) -> Result<()> {
        self.db.handle.see(token)
    }

    /// Reads show what the token in `text` asks for from here on, if it can be used: what a cookie or a header holds is given here as it came.
    /// If it cannot, reads show all that had been written when it came, whoever wrote it: the primary serves them until a replica is known to show
    /// that, which takes a probe or two. So nothing that its owner wrote is missed, and nobody is turned away for an old cookie. Gives what was
    /// wrong with it, for a log.
    ///
    /// A token of a later timeline than any node is on has all nodes asked first, as a primary may have been promoted just now: that takes a probe, and
    /// no longer than two may take. When no node that answers is on that timeline the token counts as unusable here, since it can be
    /// forged: an owner whose writes are on a primary that this process cannot reach does not see them then. [`token`](Session::token) hands it on, so
    /// that the next process may use it. [`see`](Session::see) never takes it for less than it says, and stops the session instead.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Session};
    /// # async fn of_request(db: &Db, cookie: Option<&str>) -> Session {
    /// let session = db.session();
    /// if let Some(cookie) = cookie {
    ///     if let Some(error) = session.see_or_latest(cookie).await {
    ///         eprintln!("a cookie that is no use: {error}");
    ///     }
    /// }
    /// // …and behind the request: set the cookie to session.token().to_string().
    /// session
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped while it waits, it has done nothing.
    pub async fn see_or_latest(&self, text: &str) -> Option<TokenError> {
        self.db.handle.see_or_latest(text).await
    }

    /// Runs a future in this session: in it plain handles of the same cluster act as the session, whatever freshness they ask for, so that code that is
    /// given those needs no other. A task that is spawned in it is not in it: see [`Db::current_session`].
    ///
    /// ```
    /// # use millpond_postgres::{Db, Result};
    /// # async fn count(db: &Db) -> Result<i64> { Ok(db.query_one("select count(*) from visit", &[]).await?.get(0)) }
    /// # async fn of_request(db: &Db) -> Result<()> {
    /// let session = db.session();
    /// session.scope(async {
    ///     db.execute("insert into visit values ('/')", &[]).await?;
    ///     assert!(count(db).await? > 0);
    ///     Ok(())
    /// }).await
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.db.handle.scope(future)
    }

    /// The same session, for reads that may be so old; they still show its own writes.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { db: self.db.within(limit) }
    }

    /// The same session, for reads that may be so many bytes behind: see [`Db::within_bytes`]; they still show its own writes.
    #[must_use]
    pub fn within_bytes(&self, distance: u64) -> Self {
        Self { db: self.db.within_bytes(distance) }
    }

    /// The same session, for reads that wait so long for a replica that has its own writes: see [`Db::wait_for_replica`].
    #[must_use]
    pub fn wait_for_replica(&self, limit: Duration) -> Self {
        Self { db: self.db.wait_for_replica(limit) }
    }

    /// The same session, for reads that never go to the primary: see [`Db::replicas_only`].
    #[must_use]
    pub fn replicas_only(&self) -> Self {
        Self { db: self.db.replicas_only() }
    }

    /// The same session, for statements that say where they ran: see [`Db::with_report`].
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        Self { db: self.db.with_report(report) }
    }

    /// The same session, for reads from any replica that has its own writes.
    #[must_use]
    pub fn any(&self) -> Self {
        Self { db: self.db.any() }
    }

    /// The same session, for reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        Self { db: self.db.latest() }
    }

    /// The same session, for reads that never show less than one of its earlier ones did, as two replicas could, one after the other.
    ///
    /// Its reads stay on one replica, as long as that may serve them; from there they go to the primary, which is asked behind a read how far it
    /// is, and on to whichever replica has come so far. Behind a transaction or a lease that lasts until a replica is known to show all that was
    /// there. Reads that run at the same time have no order, and what a failover discarded is not seen again. Nor may a row be whose commit
    /// is still under way, for as long as it is: a replica shows it once it is replayed, and the primary when it is done, as with waiting for a
    /// replica. And while an old primary goes on beside a new one, of which this process has not heard, it is still the primary here: what was read
    /// of the new one's before, on a replica that it was made of or that follows it, is not there. The [`token`](Session::token) asks for what
    /// was written, and for no less.
    #[must_use]
    pub fn monotonic(&self) -> Self {
        Self { db: self.db.with(self.db.handle.with_monotonic_reads()) }
    }

    /// The same session, for calls that may take so long in all: see [`Db::timeout`].
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        Self { db: self.db.timeout(limit) }
    }

    /// The same session, for statements that run with settings of their own: see [`Db::with_settings`].
    ///
    /// # Errors
    ///
    /// As [`Db::with_settings`].
    pub fn with_settings<N, V>(&self, settings: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        Ok(Self { db: self.db.with_settings(settings)? })
    }
}

impl Deref for Session {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Sessions for Db {
    type Session = Session;

    fn begin_session(&self, deadline: Option<Instant>) -> Session {
        Session { db: self.with(self.handle.begin_session(deadline)) }
    }

    async fn take_token(session: &Session, text: &str) -> Option<TokenError> {
        session.see_or_latest(text).await
    }

    fn give_token(session: &Session) -> Option<String> {
        Some(session.token().to_string())
    }

    fn run_in<F>(session: &Session, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        session.scope(future)
    }
}

derived_verbs!(Db);
