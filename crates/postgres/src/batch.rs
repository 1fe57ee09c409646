//! Many statements in one round trip.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use millpond_cluster::sql::{Classification, Dialect, Effects};
use millpond_cluster::{Answer, FailureKind, NodeLease, Operation, Purpose, Statement, Target};
use tokio_postgres::Row;

use crate::admit::admit;
use crate::beside::Beside;
use crate::client::Params;
use crate::connection::Connection;
use crate::frame::Frame;
use crate::operation::{beside, soil};
use crate::scope::Scope;
use crate::verb::{Query, Values};
use crate::{Db, DriverError, Error, Lsn, Postgres, Result, Transaction};

/// What came of each statement.
type Answers = Vec<Result<Vec<Row>, DriverError>>;

impl Db {
    /// Runs many statements as if they were called one after the other, on one connection, without waiting in between: one round trip
    /// for all, and one more for those that the connection has not prepared yet. Each is a transaction by itself, and those
    /// behind one that fails run all the same: gives what came of each, in their order.
    ///
    /// A statement whose table was changed since it was prepared fails once ("cached plan must not change result type"), unless all of them only
    /// read: those behind it have run by then.
    ///
    /// Where all of them only read they may go to a replica. All are prepared before the first one runs, so none can need what another
    /// one defines. Those of a handle with [settings](Db::with_settings) run one by one.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Result};
    /// # async fn page(db: &Db, product: i32) -> Result<()> {
    /// let answers = db
    ///     .batch(&[
    ///         ("select name, price from product where id = $1", &[&product]),
    ///         ("select stars, words from review where product = $1 limit 10", &[&product]),
    ///     ])
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A statement that the handle refuses, no connection, or one that broke under reads on every node: then nothing is known of any.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query), for each of them.
    pub async fn batch(&self, statements: &[(&str, Params<'_>)]) -> Result<Vec<Result<Vec<Row>>>> {
        let handle = self.handle();
        let mut parts = Vec::with_capacity(statements.len());
        for (sql, _) in statements {
            // Each by itself: together, a quote that one of them leaves open would hide the next.
            parts.push((*sql, admit(handle, sql)?));
        }
        let sql = joined(statements);
        let statement = Statement::several(&sql, &parts, Dialect::Postgres);
        let is_read = parts.iter().all(|(_, classification)| classification.is_plain_read());
        let mut many = Many { statements, parts, scope: self.scope() };
        let (answers, node) = handle.run(statement, &mut many).await?;
        let backend = handle.cluster().backend();
        let mut results = Vec::with_capacity(answers.len());
        for ((sql, params), answer) in statements.iter().zip(answers) {
            results.push(match answer {
                // A replica took one for a write: alone it finds its way to the primary.
                Err(error) if is_read && error.failure().kind == FailureKind::ReadOnly => {
                    self.query(sql, params).await
                }
                answer => answer.map_err(|error| {
                    let error = Error::from_backend(backend, &node, "running a statement of a batch", error);
                    let one = Statement::text(sql, &handle.classify(sql), Dialect::Postgres);
                    if one.may_commit_midway() { error.after_a_part_may_have_run() } else { error }
                }),
            });
        }
        Ok(results)
    }
}

impl Transaction {
    /// Runs many statements as if they were called one after the other, without waiting in between: one round trip for all, and one
    /// more for those that the connection has not prepared yet. Gives what came of each, in their order; behind one that fails
    /// all others do.
    ///
    /// # Errors
    ///
    /// A statement that the transaction refuses; or it had to be given up.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn batch(&self, statements: &[(&str, Params<'_>)]) -> Result<Vec<Result<Vec<Row>>>> {
        for (sql, _) in statements {
            self.admit(sql)?;
        }
        let connection = self.connection();
        let span = self.span(|| joined(statements).into());
        let call = pin!(connection.batch(statements, Frame::Bare, Beside::Nothing, Order::Fixed));
        let (answers, _) = self.call_in(span, call).await?;
        let describe = |answer: Result<_, _>| answer.map_err(|error| self.describe("running a batch", error));
        Ok(answers.into_iter().map(describe).collect())
    }
}

/// All as one text.
pub(crate) fn joined(statements: &[(&str, Params<'_>)]) -> String {
    statements.iter().map(|(sql, _)| *sql).collect::<Vec<_>>().join("\n;\n")
}

struct Many<'a> {
    statements: &'a [(&'a str, Params<'a>)],
    parts: Vec<(&'a str, Classification)>,
    scope: Option<&'a Scope>,
}

impl Operation<Postgres> for Many<'_> {
    type Output = (Answers, Arc<str>);

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let (beside, proven) = match beside(&lease, target) {
            Beside::Proof(_) => (Beside::Nothing, lease.prove(target).await?),
            beside => (beside, None),
        };
        for (_, classification) in &self.parts {
            soil(&lease, classification, target);
        }
        let frame = Frame::new(lease.kind(), self.scope, target);
        let order = if target.access.is_read() { Order::Free } else { Order::Fixed };
        let (answers, position) = lease.batch(self.statements, frame, beside, order).await?;
        // Reads find another node, all of them.
        let is_lost = |error: &DriverError| match error.failure().kind {
            FailureKind::ConnectionLost => true,
            FailureKind::Conflict => target.purpose == Purpose::Read,
            _ => false,
        };
        let mut kept = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Err(error) if target.access.is_read() && is_lost(&error) => return Err(error),
                answer => kept.push(answer),
            }
        }
        Ok(Answer::new((kept, Arc::clone(lease.node())), position.or(proven)))
    }
}

impl Connection {
    /// Runs all: without a frame in one flight, or each in its own.
    pub(crate) async fn batch(
        &self,
        statements: &[(&str, Params<'_>)],
        frame: Frame<'_>,
        beside: Beside,
        order: Order,
    ) -> Result<(Answers, Option<Lsn>), DriverError> {
        let answers = match frame {
            Frame::Bare => self.in_flight(statements, beside, order).await,
            frame => self.one_by_one(statements, frame, beside).await,
        };
        // What any of them changes was noted before the first was prepared.
        self.reading().changed_meanwhile();
        answers
    }

    /// Sends all, and then waits for all.
    async fn in_flight(
        &self,
        statements: &[(&str, Params<'_>)],
        beside: Beside,
        order: Order,
    ) -> Result<(Answers, Option<Lsn>), DriverError> {
        let prepare = async |sql: &str| self.prepare_as(&self.reading().key(sql), sql).await;
        let prepares = statements.iter().map(|(sql, _)| prepare(sql));
        let prepared = self.call(pin!(async { Ok(in_order(prepares).await) })).await?;
        let calls = statements.iter().zip(prepared).map(|((_, params), statement)| async move {
            let statement = statement?;
            self.client().query(&statement, params).await
        });
        let all = pin!(async { Ok(in_order(calls).await) });
        let (answers, mut position) = self.send(beside, all).await?;
        let mut results = Vec::with_capacity(answers.len());
        for ((sql, params), answer) in statements.iter().zip(answers) {
            let mut answer = answer.map_err(DriverError::from);
            self.look_at(&answer);
            let is_outdated = self.is_outdated(&self.reading().key(sql), &answer);
            if is_outdated && order == Order::Free && !self.soil_left().contains(Effects::TRANSACTION) {
                let verb = Query { sql, values: Values::Inferred(params) };
                let again = self.bare(&verb, beside).await;
                answer = again.map(|(rows, later)| {
                    position = later.or(position);
                    rows
                });
            }
            results.push(answer);
        }
        Ok((results, position))
    }

    async fn one_by_one(
        &self,
        statements: &[(&str, Params<'_>)],
        frame: Frame<'_>,
        beside: Beside,
    ) -> Result<(Answers, Option<Lsn>), DriverError> {
        let (mut results, mut position) = (Vec::with_capacity(statements.len()), None);
        let mut is_lost = false;
        for (sql, params) in statements {
            let answer = self.run(&Query { sql, values: Values::Inferred(params) }, frame, beside).await;
            let may_have_run = |error: &DriverError| error.failure().kind == FailureKind::ConnectionLost;
            is_lost |= answer.as_ref().is_err_and(may_have_run);
            results.push(answer.map(|(rows, later)| {
                position = later.or(position);
                rows
            }));
        }
        // What may have run lies behind what is known.
        Ok((results, position.filter(|_| !is_lost)))
    }
}

/// Whether a statement may be run once more when later ones have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All of them only read.
    Free,
    Fixed,
}

/// Polls each once in their order, and then waits for one after the other: the driver sends on the first poll, and answers in the
/// order of what was sent.
async fn in_order<F: Future>(calls: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut calls: Vec<Pin<Box<F>>> = calls.map(Box::pin).collect();
    let mut first = Vec::with_capacity(calls.len());
    for call in &mut calls {
        first.push(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await);
    }
    let mut outputs = Vec::with_capacity(calls.len());
    for (call, first) in calls.into_iter().zip(first) {
        outputs.push(match first {
            Poll::Ready(output) => output,
            Poll::Pending => call.await,
        });
    }
    outputs
}
