//! What the verbs of sqlx's traits do on one connection.

use std::future::Future;

use async_stream::try_stream;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt as _;
use millpond_cluster::core::Access;
use millpond_cluster::sql::Classification;
use millpond_cluster::{Answer, Backend as _, NodeLease, Operation, Purpose, Target};
use millpond_postgres::Lsn;
use millpond_postgres::foundation::prove;
use sqlx::postgres::{
    PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Connection as _, Describe, Either, Executor as _, SqlStr};
use sqlx_core::transaction::TransactionManager as _;

use crate::backend::{Sqlx, SqlxDriver};
use crate::connection::{Connection, Transactions};
use crate::error::BackendError;
use crate::query::Query;

/// What one call asks of the driver.
pub(crate) trait Verb: Send + Sync + Sized {
    type Output: Send;

    /// The statement.
    fn text(&self) -> SqlStr;

    fn run(&self, raw: &mut PgConnection) -> impl Future<Output = Result<Self::Output, sqlx::Error>> + Send;

    /// The same behind a change of the statement's tables, if it can be run once more.
    fn anew(&self) -> Option<Self>;
}

/// How many rows it affected.
pub(crate) struct Execute(pub(crate) Query);

impl Verb for Execute {
    type Output = PgQueryResult;

    fn text(&self) -> SqlStr {
        self.0.text()
    }

    async fn run(&self, raw: &mut PgConnection) -> Result<PgQueryResult, sqlx::Error> {
        raw.execute(self.0.clone()).await
    }

    fn anew(&self) -> Option<Self> {
        self.0.anew().map(Self)
    }
}

/// All rows.
pub(crate) struct FetchAll(pub(crate) Query);

impl Verb for FetchAll {
    type Output = Vec<PgRow>;

    fn text(&self) -> SqlStr {
        self.0.text()
    }

    async fn run(&self, raw: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        raw.fetch_all(self.0.clone()).await
    }

    fn anew(&self) -> Option<Self> {
        self.0.anew().map(Self)
    }
}

/// The first row, if there is one.
pub(crate) struct FetchOptional(pub(crate) Query);

impl Verb for FetchOptional {
    type Output = Option<PgRow>;

    fn text(&self) -> SqlStr {
        self.0.text()
    }

    async fn run(&self, raw: &mut PgConnection) -> Result<Option<PgRow>, sqlx::Error> {
        raw.fetch_optional(self.0.clone()).await
    }

    fn anew(&self) -> Option<Self> {
        self.0.anew().map(Self)
    }
}

/// A prepared statement: any connection may run it, and prepares it where it is not yet.
pub(crate) struct Prepare<'a> {
    pub(crate) sql: SqlStr,
    pub(crate) parameters: &'a [PgTypeInfo],
}

impl Verb for Prepare<'_> {
    type Output = PgStatement;

    fn text(&self) -> SqlStr {
        self.sql.clone()
    }

    async fn run(&self, raw: &mut PgConnection) -> Result<PgStatement, sqlx::Error> {
        raw.prepare_with(self.sql.clone(), self.parameters).await
    }

    fn anew(&self) -> Option<Self> {
        None
    }
}

/// What the macros ask of a statement.
pub(crate) struct DescribeText(pub(crate) SqlStr);

impl Verb for DescribeText {
    type Output = Describe<Postgres>;

    fn text(&self) -> SqlStr {
        self.0.clone()
    }

    async fn run(&self, raw: &mut PgConnection) -> Result<Describe<Postgres>, sqlx::Error> {
        raw.describe(self.0.clone()).await
    }

    fn anew(&self) -> Option<Self> {
        None
    }
}

/// What became of an operation that failed, beside what it says to the router.
#[derive(Default)]
pub(crate) struct Failed(Option<sqlx::Error>);

impl Failed {
    fn with(&mut self, error: sqlx::Error) -> BackendError {
        let refused = BackendError::refused(&error);
        self.0 = Some(error);
        refused
    }

    /// The driver's own error, where that is what the call failed with.
    pub(crate) fn instead_of(self, error: millpond_cluster::Error) -> sqlx::Error {
        let is_drivers = matches!(error.source_as::<BackendError>(), Some(BackendError::Refused { .. }));
        self.0.filter(|_| is_drivers).unwrap_or_else(|| crate::error::in_sqlx(error))
    }
}

/// A call that is over when it is answered.
pub(crate) struct Run<'a, V> {
    pub(crate) backend: &'a Sqlx,
    pub(crate) verb: V,
    pub(crate) classification: Classification,
    /// Whether the primary is asked where it is behind a write.
    pub(crate) is_placed: bool,
    pub(crate) failed: Failed,
}

impl<V: Verb> Operation<Sqlx> for Run<'_, V> {
    type Output = V::Output;

    async fn run(
        &mut self,
        mut lease: NodeLease<Sqlx>,
        target: Target<Lsn>,
    ) -> Result<Answer<V::Output, Lsn>, BackendError> {
        let connection = lease.statements()?;
        let mut position = prove::<SqlxDriver>(connection, &target).await?;
        soil(connection, &self.classification, &target);
        let value = once_more(connection, &self.verb).await.map_err(|error| self.failed.with(error))?;
        if is_asked(&target, self.is_placed && self.backend.has_positions()) {
            position = self.backend.written(connection).await;
        }
        Ok(Answer::new(value, position).with_lease_back(lease, target.untimed))
    }
}

/// Whether to ask the primary where it is.
const fn is_asked(target: &Target<Lsn>, is_placed: bool) -> bool {
    matches!(target.purpose, Purpose::Write) && ((is_placed && !target.access.is_read()) || target.is_placed)
}

/// Notes what a statement will leave behind. What turned out to be no read, whatever its text shows, may leave anything.
fn soil(connection: &mut Connection, classification: &Classification, target: &Target<Lsn>) {
    connection.soil_by(classification);
    if classification.is_plain_read() && !target.access.is_read() {
        connection.soil_unseen();
    }
}

/// Runs a call, and once more where its prepared statement was refused before it ran, since its tables have changed.
async fn once_more<V: Verb>(connection: &mut Connection, verb: &V) -> Result<V::Output, sqlx::Error> {
    connection.begun();
    let mut answer = verb.run(connection.raw()?).await;
    if let Some(verb) = verb.anew().filter(|_| answer.as_ref().is_err_and(is_outdated)) {
        connection.raw()?.clear_cached_statements().await?;
        answer = verb.run(connection.raw()?).await;
    }
    connection.answered(&answer);
    answer
}

fn is_outdated(error: &sqlx::Error) -> bool {
    let said = error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    // Said of a statement inside of it, by a function or a trigger, it has run in part.
    said.is_some_and(|said| {
        said.code() == "0A000" && said.routine() == Some("RevalidateCachedQuery") && said.r#where().is_none()
    })
}

/// A stream of results and rows, with the connection that it comes from.
pub(crate) struct Stream {
    pub(crate) query: Query,
    pub(crate) classification: Classification,
    pub(crate) failed: Failed,
}

/// What a query that may be several statements gives: the end of one, or a row.
pub(crate) type Item = Either<PgQueryResult, PgRow>;

/// A stream that has begun.
pub(crate) struct Begun {
    /// Already read: with it come the refusals and lost connections that another node can still make good. None if it is empty.
    pub(crate) first: Option<Item>,
    pub(crate) rest: BoxStream<'static, Result<Item, sqlx::Error>>,
    /// What it ran as: a read can have become more on the way here.
    pub(crate) access: Access,
}

impl Operation<Sqlx> for Stream {
    type Output = Begun;

    async fn run(
        &mut self,
        mut lease: NodeLease<Sqlx>,
        target: Target<Lsn>,
    ) -> Result<Answer<Begun, Lsn>, BackendError> {
        let connection = lease.statements()?;
        let position = prove::<SqlxDriver>(connection, &target).await?;
        soil(connection, &self.classification, &target);
        let mut rest = items(lease, self.query.clone());
        let first = rest.try_next().await.map_err(|error| self.failed.with(error))?;
        Ok(Answer::new(Begun { first, rest, access: target.access }, position))
    }
}

/// What a query gives, from a connection that goes back behind the last of it. Dropped before, it leaves one that is waited for, or closed.
fn items(mut lease: NodeLease<Sqlx>, query: Query) -> BoxStream<'static, Result<Item, sqlx::Error>> {
    Box::pin(try_stream! {
        let connection = lease.statements().map_err(|_| sqlx::Error::WorkerCrashed)?;
        let (mut query, mut is_first) = (query, true);
        let answer = loop {
            connection.begun();
            let mut has_begun = false;
            let answer = {
                let mut items = connection.raw()?.fetch_many(query.clone());
                loop {
                    match items.try_next().await {
                        Ok(Some(item)) => {
                            has_begun = true;
                            yield item;
                        }
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
            };
            match query.anew().filter(|_| is_first && !has_begun && answer.as_ref().is_err_and(is_outdated)) {
                Some(anew) => {
                    (query, is_first) = (anew, false);
                    connection.raw()?.clear_cached_statements().await?;
                }
                None => break answer,
            }
        };
        connection.answered(&answer);
        drop(lease);
        answer?;
    })
}

/// A connection inside a transaction.
pub(crate) struct Begin {
    /// Instead of BEGIN.
    pub(crate) text: Option<SqlStr>,
    pub(crate) failed: Failed,
}

impl Operation<Sqlx> for Begin {
    type Output = (NodeLease<Sqlx>, Purpose);

    async fn run(
        &mut self,
        mut lease: NodeLease<Sqlx>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, BackendError> {
        let connection = lease.statements()?;
        let position = prove::<SqlxDriver>(connection, &target).await?;
        // A call that is given up in the middle may have begun one that the driver knows nothing of.
        connection.begun();
        let begun = async { Transactions::begin(connection.raw()?, self.text.clone()).await }.await;
        connection.answered(&begun);
        begun.map_err(|error| self.failed.with(error))?;
        Ok(Answer::new((lease, target.purpose), position))
    }
}
