use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join;
use millpond_cluster::FailureKind;
use millpond_cluster::core::Access;
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classification, Effects, ReasonKind};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::client::{Params, TypedParams};
use crate::connector::Canceller;
use crate::statements::Statements;
use crate::{DriverError, Lsn};

/// A pooled connection: the driver's client, its prepared statements, and what its users left in it.
///
/// Its methods take `&self`, as the driver's do: calls made at the same time are pipelined.
pub struct Connection {
    /// The node, as it stands in errors.
    node: Arc<str>,
    client: Client,
    statements: Statements,
    /// What has to be taken away before somebody else gets it.
    soil: Mutex<Effects>,
    /// Whether it was used by ways that we do not see, so that anything may be in it.
    is_unseen: AtomicBool,
    /// Whether a call was dropped before its answer came: the server may still be at it.
    is_interrupted: AtomicBool,
    /// How many answers are not read to their end.
    unread: AtomicUsize,
    /// Taken when it is used.
    canceller: Option<Canceller>,
    /// For the cancel, which may have to be sent from outside a runtime.
    runtime: Handle,
    /// The servers' WAL segment size in bytes, 0 while it is not known.
    segment_size: Arc<AtomicU64>,
}

/// The values for a statement's parameters.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    /// Of the types that the server infers: the statement is prepared, and kept.
    Inferred(Params<'a>),
    /// Of types that the caller says: sent with the text, in one round trip.
    Typed(TypedParams<'a>),
}

/// Whether to ask where the primary is, right behind a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    Position,
    Nothing,
}

const INSERT_POSITION: &str = "select pg_catalog.pg_current_wal_insert_lsn()";

impl Connection {
    pub(crate) fn new(
        node: Arc<str>,
        client: Client,
        canceller: Canceller,
        segment_size: Arc<AtomicU64>,
    ) -> Self {
        Self {
            node,
            client,
            statements: Statements::default(),
            soil: Mutex::new(Effects::NONE),
            is_unseen: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
            unread: AtomicUsize::new(0),
            canceller: Some(canceller),
            runtime: Handle::current(),
            segment_size,
        }
    }

    pub(crate) const fn node(&self) -> &Arc<str> {
        &self.node
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Notes what a statement will leave behind. What its text does not show, as a function or procedure of the user's, may
    /// leave anything.
    pub(crate) fn soil_by(&self, classification: &Classification) {
        self.soil(classification.effects());
        let is_hidden = classification.access() == Access::Unknown
            || classification.reason().kind() == ReasonKind::Routine;
        if is_hidden {
            self.soil_unseen();
        }
    }

    /// Notes that this will be left behind.
    pub(crate) fn soil(&self, effects: Effects) {
        *self.soil.lock().unwrap_or_else(PoisonError::into_inner) |= effects;
    }

    /// Takes the note back: it is gone from the connection.
    pub(crate) fn clean(&self, effects: Effects) {
        let mut soil = self.soil.lock().unwrap_or_else(PoisonError::into_inner);
        *soil = soil.difference(effects);
    }

    /// Notes that anything may be left behind.
    pub(crate) fn soil_unseen(&self) {
        self.is_unseen.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement, DriverError> {
        self.call(pin!(self.statements.prepare(&self.client, sql))).await
    }

    pub(crate) async fn query_one(&self, sql: &str) -> Result<Row, DriverError> {
        let statement = self.prepare(sql).await?;
        self.call(pin!(self.client.query_one(&statement, &[]))).await
    }

    pub(crate) async fn query(
        &self,
        sql: &str,
        values: Values<'_>,
        capture: Capture,
    ) -> Result<(Vec<Row>, Option<Lsn>), DriverError> {
        let params = match values {
            Values::Inferred(params) => params,
            Values::Typed(params) => {
                return self.captured(capture, pin!(self.client.query_typed(sql, params))).await;
            }
        };
        let statement = self.prepare(sql).await?;
        let answer = self.captured(capture, pin!(self.client.query(&statement, params))).await;
        if !self.is_outdated(sql, &answer) {
            return answer;
        }
        let statement = self.prepare(sql).await?;
        self.captured(capture, pin!(self.client.query(&statement, params))).await
    }

    pub(crate) async fn execute(
        &self,
        sql: &str,
        values: Values<'_>,
        capture: Capture,
    ) -> Result<(u64, Option<Lsn>), DriverError> {
        let params = match values {
            Values::Inferred(params) => params,
            Values::Typed(params) => {
                return self.captured(capture, pin!(self.client.execute_typed(sql, params))).await;
            }
        };
        let statement = self.prepare(sql).await?;
        let answer = self.captured(capture, pin!(self.client.execute(&statement, params))).await;
        if !self.is_outdated(sql, &answer) {
            return answer;
        }
        let statement = self.prepare(sql).await?;
        self.captured(capture, pin!(self.client.execute(&statement, params))).await
    }

    pub(crate) async fn batch_execute(
        &self,
        sql: &str,
        capture: Capture,
    ) -> Result<Option<Lsn>, DriverError> {
        let ((), position) = self.captured(capture, pin!(self.client.batch_execute(sql))).await?;
        Ok(position)
    }

    pub(crate) async fn simple_query(
        &self,
        sql: &str,
        capture: Capture,
    ) -> Result<(Vec<SimpleQueryMessage>, Option<Lsn>), DriverError> {
        self.captured(capture, pin!(self.client.simple_query(sql))).await
    }

    pub(crate) async fn query_raw(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> Result<tokio_postgres::RowStream, DriverError> {
        let params = match values {
            Values::Inferred(params) => params,
            Values::Typed(params) => {
                let params = params.iter().map(|(value, of)| (*value, of.clone()));
                return self.call(pin!(self.client.query_typed_raw(sql, params))).await;
            }
        };
        let statement = self.prepare(sql).await?;
        let answer = self.call(pin!(self.client.query_raw(&statement, params.iter().copied()))).await;
        self.is_outdated(sql, &answer);
        answer
    }

    /// Notes that an answer is being read; until [`settle`](Self::settle) the connection is of no use to anybody else.
    pub(crate) fn unsettle(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settle(&self) {
        self.unread.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that what runs was given up, or broke.
    pub(crate) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether a call was given up, or broke: nobody knows what the server makes of it.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Whether the server may still be at something that nobody waits for.
    fn is_busy(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed) || self.unread.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn returned(&self) -> Returned {
        if self.client.is_closed() || self.is_busy() {
            return Returned::Broken;
        }
        let soil = self.soil_left();
        if soil.intersects(INDELIBLE) {
            Returned::Broken
        } else if soil.outlives_statement() || self.is_unseen.load(Ordering::Relaxed) {
            Returned::Soiled
        } else {
            Returned::Clean
        }
    }

    /// Takes away what was left behind, in one round trip, and keeps the prepared statements.
    pub(crate) async fn reset(&self) -> Result<(), DriverError> {
        let is_unseen = self.is_unseen.load(Ordering::Relaxed);
        let soil = self.soil_left();
        let applies = |(effects, _): &&(Effects, &str)| is_unseen || soil.intersects(*effects);
        let mut text: Vec<_> = RESETS.iter().filter(applies).map(|(_, text)| *text).collect();
        if is_unseen {
            text.push(PREPARED_BY_TEXT);
        }
        let answers = self.call(pin!(self.client.simple_query(&text.join("; ")))).await?;
        let is_prepared = |answer: &SimpleQueryMessage| match answer {
            SimpleQueryMessage::Row(row) => row.columns().iter().any(|column| column.name() == "prepared"),
            _ => false,
        };
        if answers.iter().any(is_prepared) {
            return Err(DriverError::Indelible);
        }
        self.clean(soil);
        self.is_unseen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Runs one call of the driver. When the future is dropped in the middle, the connection is not used again. Callers
    /// pin the call first: handed over by value it would be stored twice.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DriverError> {
        let guard = Interruption { connection: self, is_over: false };
        let result = call.await.map_err(DriverError::from);
        guard.over();
        if let Err(error) = &result {
            match error.failure().kind {
                // Whatever else it did before the refusal, an advisory lock among it, is still there.
                FailureKind::ReadOnly => self.soil_unseen(),
                // The driver and the server no longer agree on where they are.
                FailureKind::ConnectionLost => self.interrupt(),
                _ => {}
            }
        }
        result
    }

    /// Runs one call and, in the same flight, asks where the primary is behind it. The statement for that is prepared
    /// first, since the question must be on the wire right after the call, never before it.
    async fn captured<T>(
        &self,
        capture: Capture,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        if capture == Capture::Nothing {
            return Ok((self.call(call).await?, None));
        }
        let Ok(position) = self.prepare(INSERT_POSITION).await else {
            return Ok((self.call(call).await?, None));
        };
        let is_gone =
            |error: &tokio_postgres::Error| error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME);
        // `join` polls the call first, and the driver sends on the first poll.
        let both = pin!(async {
            let (result, position) = join(call, self.client.query_one(&position, &[])).await;
            result.map(|value| (value, position))
        });
        let (result, position) = self.call(both).await?;
        if position.as_ref().is_err_and(is_gone) {
            self.statements.forget(INSERT_POSITION);
        }
        let insert = position.and_then(|row| row.try_get::<_, PgLsn>(0)).ok().map(u64::from);
        let segment_size = self.segment_size.load(Ordering::Relaxed);
        Ok((result, insert.map(|insert| Lsn::end_of_written(insert, segment_size))))
    }

    /// Whether a prepared statement was refused before it ran, since its tables changed or it is gone from the server, and
    /// is to be prepared anew and run once more. Inside a transaction there is no once more.
    fn is_outdated<T>(&self, sql: &str, answer: &Result<T, DriverError>) -> bool {
        let Some(said) = answer.as_ref().err().and_then(DriverError::as_db_error) else { return false };
        let is_outdated = *said.code() == SqlState::INVALID_SQL_STATEMENT_NAME
            || (*said.code() == SqlState::FEATURE_NOT_SUPPORTED
                && said.routine() == Some("RevalidateCachedQuery"));
        let was_cached = is_outdated && self.statements.forget(sql);
        was_cached && !self.soil_left().contains(Effects::TRANSACTION)
    }

    fn soil_left(&self) -> Effects {
        *self.soil.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What no statement takes away without taking away the prepared statements too, or at all.
const INDELIBLE: Effects = Effects::PREPARED.union(Effects::LOAD);

/// What a raw client prepared by text: its names cannot be told from what the next user chooses.
const PREPARED_BY_TEXT: &str =
    "SELECT 1 AS prepared FROM pg_catalog.pg_prepared_statements WHERE from_sql LIMIT 1";

/// How long a cancel may take: its caller is gone, and so may be the server.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What takes away what, in an order that works: an aborted transaction refuses everything but its end.
const RESETS: [(Effects, &str); 7] = [
    (
        Effects::TRANSACTION.union(Effects::TABLE_LOCK).union(Effects::LARGE_OBJECT).union(Effects::CURSOR),
        "ROLLBACK",
    ),
    (Effects::CURSOR, "CLOSE ALL"),
    (Effects::SETTING, "SET SESSION AUTHORIZATION DEFAULT; RESET ALL"),
    (Effects::LISTEN, "UNLISTEN *"),
    (Effects::ADVISORY_LOCK, "SELECT pg_catalog.pg_advisory_unlock_all()"),
    (Effects::TEMPORARY, "DISCARD TEMP"),
    // Only for what was not seen: a session's sequence values do no harm but to who asks for them unasked.
    (Effects::NONE, "DISCARD SEQUENCES"),
];

/// A call under way. Dropped before it is over, it leaves the connection unfit for anybody else.
struct Interruption<'a> {
    connection: &'a Connection,
    is_over: bool,
}

impl Interruption<'_> {
    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.interrupt();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_busy = self.is_busy() && !self.client.is_closed();
        if let Some(canceller) = self.canceller.take().filter(|_| is_busy) {
            // Its caller is gone; the server should not go on for nobody.
            self.runtime.spawn(async move {
                match timeout(CANCEL_TIMEOUT, canceller.cancel()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(target: "millpond", %error, "a statement without a caller was not cancelled");
                    }
                    Err(_) => {
                        tracing::debug!(target: "millpond", "a statement without a caller was not cancelled in time");
                    }
                }
            });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.client.is_closed()).finish_non_exhaustive()
    }
}
