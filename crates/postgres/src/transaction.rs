use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use millpond_cluster::core::{Epoch, Role};
use millpond_cluster::sql::{Classification, Effects};
use millpond_cluster::{
    Changes, GivenUp, Handle, NodeLease, OnLoan, ReadsUntilDropped, StatementSpan, timed_out,
};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::admit::{
    Copies, behind_pooler, copy_refused, is_copy, keeps_literals, one_statement, transaction_commands,
};
use crate::beside::Beside;
use crate::client::{Params, TypedParams, derived_verbs};
use crate::connection::Connection;
use crate::frame::{Frame, Kind};
use crate::rest::Rest;
use crate::rows::BorrowedRowStream;
use crate::savepoint::Savepoint;
use crate::verb::{Batch, Execute, OneRow, Query, QueryOne, Simple, Values, Verb};
use crate::{DriverError, Error, ErrorKind, Outcome, Postgres, Result, TransactionId};

/// A transaction on one connection. Dropped without [`commit`](Transaction::commit), it is rolled back in the
/// background before anybody else gets the connection.
///
/// Its verbs take `&self`: calls made at the same time are pipelined.
pub struct Transaction {
    connection: NodeLease<Postgres>,
    handle: Handle<Postgres>,
    _loan: OnLoan<Postgres>,
    access: TransactionAccess,
    /// Whether its node was the primary.
    is_on_primary: bool,
    /// Whether anything but plain reads was among its statements.
    may_write: AtomicBool,
    /// What its statements may have changed.
    changes: Mutex<Changes>,
    /// How many definitions had been run when it began.
    definitions: u64,
    /// Of which primary it is; nothing, where that was another already.
    epoch: Option<Epoch>,
    /// Whether a definition may have been among its statements.
    defines: AtomicBool,
    /// Whether the server gave up a statement in favour of another transaction.
    has_conflicted: AtomicBool,
    savepoints: AtomicU64,
    id: Option<TransactionId>,
    /// Noted behind the last statement, whatever becomes of it.
    _reads: ReadsUntilDropped<Postgres>,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionAccess {
    ReadWrite,
    ReadOnly,
}

impl Transaction {
    pub(crate) fn new(
        connection: NodeLease<Postgres>,
        handle: Handle<Postgres>,
        access: TransactionAccess,
        is_on_primary: bool,
        id: Option<TransactionId>,
        site: &'static Location<'static>,
    ) -> Self {
        let (definitions, reads) = (handle.definitions(), handle.reads_until_dropped());
        // In this order: connections are closed before another epoch begins.
        let epoch = Some(handle.epoch()).filter(|_| !connection.is_evicted());
        Self {
            connection,
            _loan: handle.on_loan(site),
            handle,
            access,
            is_on_primary,
            may_write: AtomicBool::new(false),
            changes: Mutex::default(),
            definitions,
            epoch,
            defines: AtomicBool::new(false),
            has_conflicted: AtomicBool::new(false),
            savepoints: AtomicU64::new(0),
            id,
            _reads: reads,
        }
    }

    /// Names it on the server, when it was begun [`resolvable`](crate::TransactionBuilder::resolvable): should the answer to its
    /// commit get lost, [`Db::resolve`](crate::Db::resolve) asks what became of it.
    #[must_use]
    pub const fn id(&self) -> Option<&TransactionId> {
        self.id.as_ref()
    }

    /// The connection, out of its pool, in the transaction.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection.detach()
    }

    pub(crate) const fn connection(&self) -> &NodeLease<Postgres> {
        &self.connection
    }

    pub(crate) const fn handle(&self) -> &Handle<Postgres> {
        &self.handle
    }

    /// A savepoint took it back.
    pub(crate) fn forget_conflict(&self) {
        self.has_conflicted.store(false, Ordering::Relaxed);
    }

    pub(crate) fn has_conflicted(&self) -> bool {
        self.has_conflicted.load(Ordering::Relaxed)
    }

    /// The rows of a statement.
    ///
    /// # Errors
    ///
    /// What the server says; the transaction is then aborted, and only a rollback (to a savepoint) helps.
    ///
    /// # Cancel safety
    ///
    /// A dropped call ends the transaction: the other calls fail, and when it is dropped the statement is cancelled and the connection
    /// closed.
    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        self.rows(sql, Values::Inferred(params)).await
    }

    /// The rows of a statement whose parameters are of the types that stand beside them. It is not prepared but sent as it is, in
    /// one round trip; the first time that a text is run, the types of its columns are asked in another one.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn query_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<Vec<Row>> {
        self.rows(sql, Values::Typed(params)).await
    }

    async fn one(&self, sql: &str, values: Values<'_>) -> Result<OneRow> {
        self.admit(sql)?;
        self.run(sql, &QueryOne { sql, values }).await
    }

    async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>> {
        self.admit(sql)?;
        self.run(sql, &Query { sql, values }).await
    }

    /// The rows of a statement as they come. Other statements of the transaction wait for its last row; dropped before that, it
    /// ends the transaction as a dropped call does.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query), the stream included.
    pub async fn query_raw(&self, sql: &str, params: Params<'_>) -> Result<BorrowedRowStream<'_>> {
        self.stream(sql, Values::Inferred(params)).await
    }

    /// [`query_typed`](Transaction::query_typed), as a stream.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query_raw`](Transaction::query_raw).
    pub async fn query_typed_raw(&self, sql: &str, params: TypedParams<'_>) -> Result<BorrowedRowStream<'_>> {
        self.stream(sql, Values::Typed(params)).await
    }

    async fn stream(&self, sql: &str, values: Values<'_>) -> Result<BorrowedRowStream<'_>> {
        self.admit(sql)?;
        let (rows, _) = self.call(sql, pin!(self.connection.stream(sql, values, Frame::Bare))).await?;
        Ok(BorrowedRowStream(Rest::borrowed(rows, &self.connection, None, &self.handle, None)))
    }

    /// Runs a statement; the number of rows it affected.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        self.affected(sql, Values::Inferred(params)).await
    }

    /// Runs a statement whose parameters are of the types that stand beside them, as
    /// [`query_typed`](Transaction::query_typed) does; the number of rows it affected.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<u64> {
        self.affected(sql, Values::Typed(params)).await
    }

    async fn affected(&self, sql: &str, values: Values<'_>) -> Result<u64> {
        self.admit(sql)?;
        self.run(sql, &Execute { sql, values }).await
    }

    /// Runs statements without parameters, separated by semicolons, and gives their rows as text.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
        self.admit_any(sql, &self.handle.classify(sql))?;
        self.run(sql, &Simple(sql)).await
    }

    /// Runs statements without parameters, separated by semicolons.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn batch_execute(&self, sql: &str) -> Result<()> {
        self.admit_any(sql, &self.handle.classify(sql))?;
        self.run(sql, &Batch(sql)).await
    }

    async fn run<V: Verb>(&self, sql: &str, verb: &V) -> Result<V::Output> {
        Ok(self.call(sql, pin!(self.connection.bare(verb, Beside::Nothing))).await?.0)
    }

    /// Begins a part that can be taken back by itself.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn savepoint(&self) -> Result<Savepoint<'_>> {
        let number = self.savepoints.fetch_add(1, Ordering::Relaxed);
        Savepoint::begin(self, format!("millpond_{number}")).await
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// With the [outcome](Error::outcome) `Rejected` nothing was committed: the server refused, or an earlier error had
    /// aborted the transaction. With `MayHaveRun` the answer was lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped commit may have run. The handle takes it for a write.
    pub async fn commit(self) -> Result<()> {
        self.check_usable()?;
        let defines = self.defines.load(Ordering::Relaxed);
        let access = match self.access {
            TransactionAccess::ReadOnly if self.may_write.load(Ordering::Relaxed) && self.is_on_primary => {
                TransactionAccess::ReadWrite
            }
            access => access,
        };
        let begun = Instant::now().into_std();
        let commit = Commit { transaction: &self, access, defines, begun, is_settled: false };
        let kind = self.connection.kind();
        let beside = match access {
            TransactionAccess::ReadWrite if kind != Kind::Test => Beside::Position,
            _ => Beside::Nothing,
        };
        let end = Batch(kind.nesting().commit());
        let span = self.span(|| "commit".into());
        let sent = pin!(self.connection.bare(&end, beside));
        let error = match self.handle.while_current(&self.connection, sent).await {
            Ok(Ok(((), position))) => {
                self.connection.clean(Effects::TRANSACTION);
                commit.acknowledged(position);
                return Ok(());
            }
            Ok(Err(error)) if is_aborted(&error) => {
                self.describe("committing", DriverError::AbortedTransaction)
            }
            Ok(Err(error)) => self.describe("committing", error),
            Err(GivenUp::Replaced) => self.replaced(Outcome::MayHaveRun, "while it committed"),
            Err(GivenUp::TimedOut) => timed_out(self.connection.node(), Outcome::MayHaveRun),
        };
        commit.failed(error.outcome());
        let failed = Err(error);
        span.ended(&failed);
        failed
    }

    /// Rolls back. Dropping does the same in the background; this waits for it.
    ///
    /// # Errors
    ///
    /// The connection broke. The server rolls back then too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the transaction is rolled back in any case.
    pub async fn rollback(self) -> Result<()> {
        if self.connection.is_interrupted() {
            // It is cancelled and closed, which rolls back too.
            return Ok(());
        }
        self.run("rollback", &Batch(self.connection.kind().nesting().rollback())).await?;
        self.connection.clean(Effects::TRANSACTION);
        Ok(())
    }

    /// Refuses a text that a call for one statement cannot run here.
    pub(crate) fn admit(&self, sql: &str) -> Result<()> {
        let classification = self.handle.classify(sql);
        one_statement(&classification)?;
        self.admit_any(sql, &classification)
    }

    /// Refuses a text that speaks no copy protocol.
    pub(crate) fn admit_copy(&self, sql: &str, copies: Copies) -> Result<()> {
        self.check_usable()?;
        let classification = self.handle.classify(sql);
        is_copy(sql, &classification, copies)?;
        self.may_change(self.handle.changes(sql, &classification));
        self.connection.soil_by(&classification);
        Ok(())
    }

    /// Refuses what would end the transaction behind its back, and notes what a text will leave behind.
    fn admit_any(&self, sql: &str, classification: &Classification) -> Result<()> {
        self.check_usable()?;
        if !classification.is_plain_read() {
            // Even in one that began to read only: there is `SET TRANSACTION READ WRITE`, in many words.
            self.may_write.store(true, Ordering::Relaxed);
        }
        self.may_change(self.handle.changes(sql, classification));
        if self.handle.may_define(sql, classification) {
            self.defines.store(true, Ordering::Relaxed);
        }
        let effects = classification.effects();
        transaction_commands(sql, classification)?;
        keeps_literals(sql, classification)?;
        behind_pooler(self.connection.kind(), sql, classification)?;
        if effects.contains(Effects::COPY) {
            return Err(copy_refused());
        }
        self.connection.soil_by(classification);
        Ok(())
    }

    fn may_change(&self, changes: Changes) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).add(changes);
    }

    /// Refuses to go on on a node that has lost the primary role since: whatever it takes, the cluster will not have. And where a call was
    /// given up: the server may not be through with it, and its caller does not count on it.
    fn check_usable(&self) -> Result<()> {
        if self.access == TransactionAccess::ReadWrite && self.connection.is_evicted() {
            return Err(self.replaced(
                Outcome::Rejected,
                "since the transaction began; nothing was committed: run it again",
            ));
        }
        if self.connection.client().is_closed() {
            let text = format!(
                "{}: the connection was closed since the transaction began; nothing was committed: run it again",
                self.connection.node()
            );
            return Err(Error::new(ErrorKind::ConnectionLost, Outcome::Rejected, text));
        }
        if self.connection.is_interrupted() {
            return Err(Error::new(
                ErrorKind::ConnectionLost,
                Outcome::Rejected,
                "a call of the transaction was given up or broke; nothing was committed: run it again",
            ));
        }
        Ok(())
    }

    /// The words for a node that is not what it was.
    fn replaced(&self, outcome: Outcome, when: &str) -> Error {
        let text = format!("{} went silent or lost its role {when}", self.connection.node());
        Error::new(ErrorKind::ConnectionLost, outcome, text)
    }

    /// The span of what is sent now.
    pub(crate) fn span<'t>(&self, text: impl FnOnce() -> Cow<'t, str>) -> StatementSpan {
        let role = if self.is_on_primary { Role::Primary } else { Role::Replica };
        self.handle.span(self.connection.node(), role, text)
    }

    /// Runs a call that sends a text, unless the node loses the role that the transaction needs.
    pub(crate) async fn call<T>(
        &self,
        sql: &str,
        call: Pin<&mut impl Future<Output = Result<T, DriverError>>>,
    ) -> Result<T> {
        self.call_in(self.span(|| sql.into()), call).await
    }

    pub(crate) async fn call_in<T>(
        &self,
        span: StatementSpan,
        call: Pin<&mut impl Future<Output = Result<T, DriverError>>>,
    ) -> Result<T> {
        let result = self.unless_replaced(call).await;
        span.ended(&result);
        result
    }

    async fn unless_replaced<T>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, DriverError>>>,
    ) -> Result<T> {
        match self.handle.while_current(&self.connection, call).await {
            Ok(result) => {
                result.map_err(|error| self.describe("running a statement in a transaction", error))
            }
            Err(GivenUp::Replaced) => {
                Err(self
                    .replaced(Outcome::Rejected, "in the transaction; nothing was committed: run it again"))
            }
            // The connection is of no use any more, and so nothing is committed.
            Err(GivenUp::TimedOut) => Err(timed_out(self.connection.node(), Outcome::Rejected)),
        }
    }

    pub(crate) fn describe(&self, doing: &str, error: DriverError) -> Error {
        let error =
            Error::from_backend(self.handle.cluster().backend(), self.connection.node(), doing, error);
        if self.access == TransactionAccess::ReadWrite && error.code() == Some("25006") {
            // The node may have lost its role.
            self.handle.look_again();
        }
        if is_conflict(&error) {
            self.has_conflicted.store(true, Ordering::Relaxed);
        }
        error
    }
}

derived_verbs!(Transaction);

/// Whether the server gave it up in favour of another transaction, and had nothing of it.
pub(crate) fn is_conflict(error: &Error) -> bool {
    error.outcome() == Outcome::Rejected && matches!(error.code(), Some("40001" | "40P01"))
}

fn is_aborted(error: &DriverError) -> bool {
    error.as_db_error().is_some_and(|said| *said.code() == SqlState::IN_FAILED_SQL_TRANSACTION)
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("access", &self.access).finish_non_exhaustive()
    }
}

/// A commit that was sent and not answered yet. Dropped so, it may have run.
struct Commit<'a> {
    transaction: &'a Transaction,
    access: TransactionAccess,
    defines: bool,
    begun: std::time::Instant,
    is_settled: bool,
}

impl Commit<'_> {
    fn acknowledged(mut self, position: Option<crate::Lsn>) {
        self.is_settled = true;
        self.note_definitions();
        match (self.access, position.zip(self.transaction.epoch)) {
            (TransactionAccess::ReadOnly, _) => {}
            (TransactionAccess::ReadWrite, Some((position, epoch))) => {
                self.transaction.handle.wrote_at(position, epoch, self.begun, &self.changes());
            }
            (TransactionAccess::ReadWrite, None) => self.transaction.handle.wrote(),
        }
    }

    /// What was committed. A definition that was run meanwhile may have given a table a trigger.
    fn changes(&self) -> Changes {
        let Transaction { changes, handle, definitions, .. } = self.transaction;
        if handle.definitions() != *definitions {
            return Changes::Anything;
        }
        changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(mut self, outcome: Outcome) {
        self.is_settled = outcome != Outcome::MayHaveRun;
    }

    fn note_definitions(&self) {
        if self.defines {
            self.transaction.handle.defined();
        }
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if !self.is_settled && self.access == TransactionAccess::ReadWrite {
            self.note_definitions();
            self.transaction.handle.wrote();
        }
    }
}
