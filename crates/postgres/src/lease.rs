use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond_cluster::core::{Access, Role};
use millpond_cluster::sql::{Dialect, Effects};
use millpond_cluster::{Handle, NodeLease, OnLoan, Purpose, StatementSpan};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::admit::{behind_pooler, copy_refused, keeps_literals, transaction_commands};
use crate::batch::{Order, joined};
use crate::beside::Beside;
use crate::client::{GenericClient, Params, TypedParams, one_row, row_or_none};
use crate::frame::{Frame, Kind};
use crate::operation::Take;
use crate::rest::Rest;
use crate::rows::BorrowedRowStream;
use crate::verb::{Batch, Execute, Query, QueryOne, Simple, Values, Verb};
use crate::{Db, DriverError, Error, ErrorKind, Outcome, Postgres, Result};

/// A connection on loan, for code that wants a `tokio_postgres::Client`: it derefs to one.
///
/// What is done through the client is not seen. So when the lease is dropped the connection is rolled back and reset,
/// keeping its prepared statements, before anybody else gets it; and what may have been written on a primary is taken
/// for written: later reads of the handle that gave the lease wait for a replica that shows it, or go to the primary. A statement that
/// was sent through the client and given up runs on for a second at most: then the connection is closed, and it is cancelled.
///
/// Where leases come and go all the time, reads of plain handles seldom find a replica that shows what each may have written: it takes the next
/// answers of the monitors. Sessions of their own are not held up by it, and what the verbs run that only reads is no write.
///
/// What is done through the verbs of [`GenericClient`](crate::GenericClient) is seen, and only what it left behind is taken away.
///
/// Nor are definitions seen that are made through the client: to be safe from a view that is made on it, no read could go to a replica
/// while any lease is out. Say so with [`defined`](Lease::defined), use the verbs, or run migrations through a handle or a transaction.
///
/// Nor can it be stopped: when another node becomes the primary meanwhile, look at
/// [`is_outdated`](Lease::is_outdated) before writing on.
pub struct Lease {
    connection: NodeLease<Postgres>,
    handle: Handle<Postgres>,
    _loan: OnLoan<Postgres>,
    purpose: Purpose,
    /// Whether the driver's client was given out.
    is_unseen: AtomicBool,
    /// Whether a definition may have been among what the verbs ran.
    defines: AtomicBool,
}

impl Db {
    /// A connection to the primary, that derefs to `tokio_postgres::Client`. What is defined through it is not seen: see
    /// [`Lease::defined`].
    ///
    /// # Errors
    ///
    /// No connection, or no primary, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<Lease>> + Send {
        self.lease(Access::Write, Location::caller())
    }

    /// A connection for reads, to a replica that is fresh enough now, or to the primary. A replica's refuses writes.
    ///
    /// # Errors
    ///
    /// No connection before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[track_caller]
    pub fn get_read(&self) -> impl Future<Output = Result<Lease>> + Send {
        self.lease(Access::Read, Location::caller())
    }

    async fn lease(&self, access: Access, site: &'static Location<'static>) -> Result<Lease> {
        self.may_lease()?;
        let mut take = Take { scope: self.scope() };
        let (connection, purpose) =
            self.handle().run(millpond_cluster::Statement::connection(access), &mut take).await?;
        Ok(Lease::new(connection, self.handle().here(), purpose, site))
    }

    /// Behind a pooler a lease has no session that could have the settings.
    fn may_lease(&self) -> Result<()> {
        if self.scope().is_none() || self.kind() != Kind::Pooled {
            return Ok(());
        }
        let text = "behind a pooler a lease cannot have settings of its own: use begin()";
        Err(Error::new(ErrorKind::SessionStatement, Outcome::NotSent, text))
    }
}

impl Lease {
    pub(crate) fn new(
        connection: NodeLease<Postgres>,
        handle: Handle<Postgres>,
        purpose: Purpose,
        site: &'static Location<'static>,
    ) -> Self {
        Self {
            connection,
            _loan: handle.on_loan(site),
            handle,
            purpose,
            is_unseen: AtomicBool::new(false),
            defines: AtomicBool::new(false),
        }
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

    /// Prepares a statement, or takes it from the connection's cache. Its names and literals are read when it is prepared, as PREPARE does:
    /// a `SET` by the driver's client, which is not seen, changes nothing in what was prepared on this lease before.
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
        self.connection.reading().next();
        let prepared = self.connection.prepare(sql).await;
        prepared.map_err(|error| {
            Error::from_backend(backend, self.connection.node(), "preparing a statement", error)
        })
    }
}

impl Lease {
    /// Notes what a text will leave behind, before it is sent, and what follows from it once it was.
    fn see(&self, sql: &str) -> Result<Sent<'_>> {
        let classification = self.handle.classify(sql);
        let effects = classification.effects();
        if effects.contains(Effects::COPY) {
            return Err(copy_refused());
        }
        keeps_literals(sql, &classification)?;
        behind_pooler(self.connection.kind(), sql, &classification)?;
        if self.connection.kind() == Kind::Test {
            // It would end the transaction of the test.
            transaction_commands(sql, &classification)?;
        }
        self.connection.soil_by(&classification);
        if self.handle.may_define(sql, &classification) {
            self.defines.store(true, Ordering::Relaxed);
        }
        let is_plain = classification.is_plain_read() && !effects.contains(Effects::TRANSACTION);
        let may_commit_midway =
            millpond_cluster::Statement::text(sql, &classification, Dialect::Postgres).may_commit_midway();
        Ok(Sent { lease: self, is_plain, may_commit_midway })
    }

    fn describe(&self, error: DriverError) -> Error {
        let backend = self.handle.cluster().backend();
        let error =
            Error::from_backend(backend, self.connection.node(), "running a statement on a lease", error);
        if self.purpose == Purpose::Write && error.code() == Some("25006") {
            // The node may have lost its role, unless the transaction was begun to read only.
            self.handle.look_again();
        }
        error
    }

    async fn run<V: Verb>(&self, sql: &str, verb: &V) -> Result<V::Output> {
        let sent = self.see(sql)?;
        let span = self.span(|| sql.into());
        let answer = self.connection.run(verb, self.frame(), Beside::Nothing).await;
        let answer = answer.map_err(|error| sent.describe(error));
        span.ended(&answer);
        Ok(answer?.0)
    }

    async fn stream(&self, sql: &str, values: Values<'_>) -> Result<BorrowedRowStream<'_>> {
        let sent = self.see(sql)?;
        let span = self.span(|| sql.into());
        let rows = self.connection.stream(sql, values, self.frame()).await;
        let rows = rows.map_err(|error| sent.describe(error));
        span.ended(&rows);
        let (rows, close) = rows?;
        Ok(BorrowedRowStream(Rest::borrowed(rows, &self.connection, close, &self.handle, Some(sent))))
    }

    fn span<'t>(&self, text: impl FnOnce() -> Cow<'t, str>) -> StatementSpan {
        let role = if self.purpose == Purpose::Read { Role::Replica } else { Role::Primary };
        self.handle.span(self.connection.node(), role, text)
    }

    /// What stands around a statement of its verbs.
    fn frame(&self) -> Frame<'static> {
        match self.connection.kind() {
            // One that fails must not take the test with it.
            Kind::Test => Frame::Savepoint(None),
            Kind::Direct | Kind::Pooled => Frame::Bare,
        }
    }
}

/// A text that is sent, or was. Whatever came of it, it may have written, defined, or committed what did.
pub(crate) struct Sent<'l> {
    lease: &'l Lease,
    is_plain: bool,
    may_commit_midway: bool,
}

impl Sent<'_> {
    pub(crate) const fn may_commit_midway(&self) -> bool {
        self.may_commit_midway
    }

    /// What came of it, as far as the error alone does not tell.
    fn describe(&self, error: DriverError) -> Error {
        let error = self.lease.describe(error);
        if self.may_commit_midway { error.after_a_part_may_have_run() } else { error }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if self.is_plain || self.lease.purpose != Purpose::Write {
            return;
        }
        // Where the primary is now says nothing of a transaction that goes on.
        self.lease.handle.wrote();
        if self.lease.defines.load(Ordering::Relaxed) {
            self.lease.handle.defined();
        }
    }
}

impl GenericClient for Lease {
    type RowStream<'a> = BorrowedRowStream<'a>;

    async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        self.run(sql, &Query { sql, values: Values::Inferred(params) }).await
    }

    async fn query_raw(&self, sql: &str, params: Params<'_>) -> Result<BorrowedRowStream<'_>> {
        self.stream(sql, Values::Inferred(params)).await
    }

    async fn query_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<Vec<Row>> {
        self.run(sql, &Query { sql, values: Values::Typed(params) }).await
    }

    async fn query_typed_raw(&self, sql: &str, params: TypedParams<'_>) -> Result<BorrowedRowStream<'_>> {
        self.stream(sql, Values::Typed(params)).await
    }

    async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        self.run(sql, &Execute { sql, values: Values::Inferred(params) }).await
    }

    async fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<u64> {
        self.run(sql, &Execute { sql, values: Values::Typed(params) }).await
    }

    async fn batch_execute(&self, sql: &str) -> Result<()> {
        self.run(sql, &Batch(sql)).await
    }

    async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
        self.run(sql, &Simple(sql)).await
    }

    async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
        one_row(self.run(sql, &QueryOne { sql, values: Values::Inferred(params) }).await?)
    }

    async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
        row_or_none(self.run(sql, &QueryOne { sql, values: Values::Inferred(params) }).await?)
    }

    async fn batch(&self, statements: &[(&str, Params<'_>)]) -> Result<Vec<Result<Vec<Row>>>> {
        let mut sent = Vec::with_capacity(statements.len());
        for (sql, _) in statements {
            sent.push(self.see(sql)?);
        }
        let span = self.span(|| joined(statements).into());
        let answers = self.connection.batch(statements, self.frame(), Beside::Nothing, Order::Fixed).await;
        let answers = answers.map_err(|error| self.describe(error));
        span.ended(&answers);
        let (answers, _) = answers?;
        let answers = answers.into_iter().zip(&sent);
        Ok(answers.map(|(answer, sent)| answer.map_err(|error| sent.describe(error))).collect())
    }
}

impl Deref for Lease {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.is_unseen.store(true, Ordering::Relaxed);
        self.connection.soil_raw();
        self.connection.client()
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Client {
        self.is_unseen.store(true, Ordering::Relaxed);
        self.connection.soil_raw();
        self.connection.client_mut()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.purpose == Purpose::Write && self.is_unseen.load(Ordering::Relaxed) {
            self.handle.wrote();
        }
        self.handle.has_read();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
