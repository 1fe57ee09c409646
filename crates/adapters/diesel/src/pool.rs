//! The pool.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use millpond_cluster::core::{Access, Freshness};
use millpond_cluster::{Handle, Mode, Sessions, Statement};
use millpond_postgres::foundation::{Foreign, Take};
use millpond_postgres::{Builder, Report, ShadowReport, Status, Switches, TokenError};
use tokio::time::Instant;

use crate::driver::{Diesel, DieselDriver};
use crate::lease::Site;
use crate::transaction::{self, Callback};
use crate::{Error, PooledConnection, Session};

/// Pools of diesel-async's connections to a PostgreSQL primary and its replicas: cheap to clone.
///
/// A caller says what it wants a connection for: [`read`](Self::read) leads to a replica that is fresh enough, [`write`](Self::write) to the primary. No
/// statement is read. In [`Mode::Shadow`], which is how a pool starts unless told otherwise, both lead to the primary, and
/// [`shadow_report`](Self::shadow_report) says what would not.
#[derive(Clone, Debug)]
pub struct Pool {
    handle: Handle<Diesel>,
}

impl Pool {
    /// Connects to a cluster with the default settings, in [`Mode::Shadow`]. The URL has all nodes in it:
    /// `postgres://user:password@db-0,db-1,db-2/shop`. Roles are found by asking.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read, or no node that answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(Self::builder(url)?).await
    }

    /// Settings for [`connect_with`](Self::connect_with), in [`Mode::Shadow`].
    ///
    /// ```
    /// # async fn pool() -> Result<millpond_diesel::Pool, millpond_diesel::Error> {
    /// use millpond_diesel::{Mode, Pool};
    ///
    /// let builder = Pool::builder("postgres://app@db-0,db-1,db-2/shop")?;
    /// Pool::connect_with(builder.max_size(20).mode(Mode::Route)).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A URL that cannot be read.
    pub fn builder(url: &str) -> Result<Builder, Error> {
        Ok(Builder::from_url(url)?.mode(Mode::Shadow))
    }

    /// Connects: waits until every node has answered once or failed to.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, or no node that answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect_with(builder: Builder) -> Result<Self, Error> {
        let cluster = builder.connect_backend(|postgres| Foreign::new(postgres, DieselDriver)).await?;
        if cluster.backend().own().is_behind_pooler() {
            let text =
                "millpond-diesel does not run behind a pooler: its connections keep prepared statements";
            return Err(millpond_postgres::Error::config(text).into());
        }
        Ok(Self { handle: cluster.handle() })
    }

    pub(crate) const fn handle(&self) -> &Handle<Diesel> {
        &self.handle
    }

    pub(crate) fn with_handle(&self, change: impl FnOnce(&Handle<Diesel>) -> Handle<Diesel>) -> Self {
        Self { handle: change(&self.handle) }
    }

    /// A connection to a replica that is fresh enough and shows what this process, or the session, has written; to the primary where there is none. It
    /// refuses writes.
    ///
    /// # Errors
    ///
    /// No connection before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[track_caller]
    pub fn read(&self) -> impl Future<Output = Result<PooledConnection, Error>> + Send {
        self.read_at(Location::caller())
    }

    async fn read_at(&self, site: Site) -> Result<PooledConnection, Error> {
        let statement = Statement::connection(Access::Read).seen_as("connection");
        let (lease, purpose) = self.handle.run(statement, &mut Take).await?;
        Ok(PooledConnection::reading(lease, purpose, &self.handle, site))
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
    #[track_caller]
    pub fn write(&self) -> impl Future<Output = Result<PooledConnection, Error>> + Send {
        self.write_at(Location::caller())
    }

    async fn write_at(&self, site: Site) -> Result<PooledConnection, Error> {
        let statement = Statement::connection(Access::Write).seen_as("connection");
        let (lease, _) = self.handle.run(statement, &mut Take).await?;
        Ok(PooledConnection::writing(lease, &self.handle, site))
    }

    /// [`write`](Self::write), by the name that pools have for it.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<PooledConnection, Error>> + Send {
        self.write()
    }

    /// Runs an async closure in a transaction on the primary: committed when it gives a value, rolled back when it fails. Reads behind it show what was
    /// written, in every process that gets the [token](Session::token) of the session.
    ///
    /// ```
    /// # use diesel::result::Error as DieselError;
    /// # async fn rename(pool: &millpond_diesel::Pool) -> Result<(), DieselError> {
    /// use diesel_async::RunQueryDsl;
    ///
    /// pool.transaction(async |connection| {
    ///     diesel::sql_query("update item set name = 'pond'").execute(connection).await?;
    ///     Ok::<_, DieselError>(())
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The closure's own, what the server says to the transaction, or [`Error`]: no primary; or one that lost its role, of which the
    /// [outcome](millpond_postgres::Error::outcome) says whether it may have committed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe but for the commit, which may have run. It is taken for a write.
    #[track_caller]
    pub fn transaction<R, E, F>(&self, callback: F) -> impl Future<Output = Result<R, E>> + Send
    where
        for<'c> F: AsyncFnOnce(&'c mut AsyncPgConnection) -> Result<R, E>
            + Callback<&'c mut AsyncPgConnection, Result<R, E>>
            + Send,
        R: Send,
        E: From<diesel::result::Error> + From<Error> + Send,
    {
        transaction::run(&self.handle, Access::Write, Location::caller(), callback)
    }

    /// The same for reads only, on a replica that is fresh enough.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[track_caller]
    pub fn read_transaction<R, E, F>(&self, callback: F) -> impl Future<Output = Result<R, E>> + Send
    where
        for<'c> F: AsyncFnOnce(&'c mut AsyncPgConnection) -> Result<R, E>
            + Callback<&'c mut AsyncPgConnection, Result<R, E>>
            + Send,
        R: Send,
        E: From<diesel::result::Error> + From<Error> + Send,
    {
        transaction::run(&self.handle, Access::Read, Location::caller(), callback)
    }

    /// A line of calls whose reads show its own writes, and those of the tokens that it was given.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.with_handle(Handle::session))
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

    /// For calls that may wait so long for a connection.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        self.with_handle(|handle| handle.with_timeout(limit))
    }

    /// For calls that say in `report` where they went, and why there.
    #[must_use]
    pub fn with_report(&self, report: &Report) -> Self {
        self.with_handle(|handle| handle.with_report(report))
    }

    /// Reads from here on show all that had been written when this is called, wherever it was written: the primary serves them until a replica is known to
    /// show that. For what came by another way than with a token, as a notification. Of the session, where this is one's or the task is in one; of the
    /// process else.
    pub fn see_latest(&self) {
        self.handle.see_latest();
    }

    /// How the nodes stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.cluster().status()
    }

    /// What of the calls that ran in [`Mode::Shadow`] would have gone to replicas.
    #[must_use]
    pub fn shadow_report(&self) -> ShadowReport {
        self.handle.cluster().shadow_report()
    }

    /// Switches the mode, from the next call on.
    pub fn set_mode(&self, mode: Mode) {
        self.handle.cluster().set_mode(mode);
    }

    /// Sets all switches for incidents, from the next call on.
    pub fn set_switches(&self, switches: &Switches) {
        self.handle.cluster().set_switches(switches);
    }

    /// Hands out no more connections, and waits until those that are out came back.
    pub async fn close(&self) {
        self.handle.cluster().close(Duration::MAX).await;
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }
}

impl Sessions for Pool {
    type Session = Session;

    fn begin_session(&self, deadline: Option<Instant>) -> Session {
        Session::new(self.with_handle(|handle| handle.begin_session(deadline)))
    }

    async fn take_token(session: &Session, text: &str) -> Option<TokenError> {
        session.see_or_latest(text).await
    }

    fn give_token(session: &Session) -> Option<String> {
        Some(session.token().to_string())
    }

    async fn run_in<F>(session: &Session, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        session.handle().scope(future).await
    }
}
