//! COPY: many rows at once, in the server's own form, to and from it.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt, Stream, TryStreamExt};
use millpond_cluster::core::Access;
use millpond_cluster::sql::{Classification, Dialect};
use millpond_cluster::{
    Answer, FailureKind, GivenUp, Handle, NodeLease, Operation, Statement, Target, timed_out,
};
use tokio_postgres::error::DbError;
use tokio_postgres::{CopyInSink, CopyOutStream};

use crate::admit::{Copies, admit_copy};
use crate::frame::Frame;
use crate::operation::soil;
use crate::rest::{Begun, Held, Rest, WritesAtTheEnd};
use crate::scope::Scope;
use crate::{Db, DriverError, Error, ErrorKind, Lsn, Outcome, Postgres, Result, Transaction};

impl Db {
    /// Begins to copy rows into a table: `copy item from stdin`. Nothing of it stays unless it is [finished](CopyIn::finish).
    ///
    /// # Errors
    ///
    /// As [`query`](Db::query); and a text that is no `COPY … FROM STDIN`.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Db::query).
    pub async fn copy_in(&self, sql: &str) -> Result<CopyIn<'static>> {
        let handle = self.handle();
        let classification = admit_copy(handle, sql, Copies::In)?;
        let mut start = StartCopyIn { sql, classification, scope: self.scope() };
        // What is written counts when it is finished.
        let statement = Statement::connection(Access::Write).seen_as(sql);
        let started = handle.run(statement, &mut start).await?;
        let held = Held::Own(started.lease);
        Ok(CopyIn::new(started.sink, held, started.close, handle.here(), true))
    }

    /// The rows of a table or query as the server writes them: `copy item to stdout`, `copy (select …) to stdout`. Where that only reads
    /// it may come from a replica.
    ///
    /// # Errors
    ///
    /// As [`query_raw`](Db::query_raw); and a text that is no `COPY … TO STDOUT`.
    ///
    /// # Cancel safety
    ///
    /// As [`query_raw`](Db::query_raw), the stream included.
    pub async fn copy_out(&self, sql: &str) -> Result<CopyOut<'static>> {
        let handle = self.handle();
        let classification = admit_copy(handle, sql, Copies::Out)?;
        let statement = Statement::text(sql, &classification, Dialect::Postgres);
        let mut start = StartCopyOut { sql, classification, scope: self.scope() };
        Ok(CopyOut(Rest::own(handle.run(statement, &mut start).await?, handle)))
    }
}

impl Transaction {
    /// Begins to copy rows into a table: `copy item from stdin`. Until it is [finished](CopyIn::finish) nothing else runs in the
    /// transaction; dropped before, it ends the transaction as a dropped call does. So does a copy that the server refuses before it
    /// reads a row: behind that the driver and the server do not agree on where they are, and no savepoint helps.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query); and a text that is no `COPY … FROM STDIN`.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query).
    pub async fn copy_in(&self, sql: &str) -> Result<CopyIn<'_>> {
        self.admit_copy(sql, Copies::In)?;
        let connection = self.connection();
        let begun = self.call(sql, pin!(connection.call(pin!(connection.client().copy_in(sql))))).await;
        let sink = begun.inspect_err(|_| connection.interrupt())?;
        let handle = self.handle().clone();
        Ok(CopyIn::new(Box::pin(sink), Held::Borrowed(connection), None, handle, false))
    }

    /// The rows of a table or query as the server writes them: `copy item to stdout`, `copy (select …) to stdout`. Other statements of
    /// the transaction wait for the last of them; dropped before that, it ends the transaction as a dropped call does.
    ///
    /// # Errors
    ///
    /// As [`query`](Transaction::query); and a text that is no `COPY … TO STDOUT`.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Transaction::query), the stream included.
    pub async fn copy_out(&self, sql: &str) -> Result<CopyOut<'_>> {
        self.admit_copy(sql, Copies::Out)?;
        let connection = self.connection();
        let rows = self.call(sql, pin!(connection.call(pin!(connection.client().copy_out(sql))))).await?;
        Ok(CopyOut(Rest::borrowed(rows, connection, None, self.handle(), None)))
    }
}

/// Rows on their way into a table, made by [`Db::copy_in`] and [`Transaction::copy_in`].
///
/// What is sent is in the form that the statement names, text by default, cut wherever it suits. Dropped before it is
/// [finished](CopyIn::finish), nothing of it stays.
#[must_use = "nothing is copied unless it is finished"]
pub struct CopyIn<'c> {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    held: Held<'c>,
    /// What closes the frame that it runs in.
    close: Option<String>,
    handle: Handle<Postgres>,
    /// Whether this process has written when it is finished; otherwise its transaction has.
    is_write: bool,
    is_over: bool,
}

impl<'c> CopyIn<'c> {
    fn new(
        sink: Pin<Box<CopyInSink<Bytes>>>,
        held: Held<'c>,
        close: Option<String>,
        handle: Handle<Postgres>,
        is_write: bool,
    ) -> Self {
        held.lease().unsettle();
        Self { sink, held, close, handle, is_write, is_over: false }
    }

    /// Sends some bytes. Waits while the server does not take them.
    ///
    /// # Errors
    ///
    /// The connection broke. Nothing of it stays then. What the server says to the rows is told by [`finish`](CopyIn::finish).
    ///
    /// # Cancel safety
    ///
    /// A dropped call leaves it open whether the bytes were sent: drop the copy then, too.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<()> {
        if self.is_over {
            return Err(self.given_up());
        }
        let data = data.into();
        let result = {
            let sent = pin!(self.sink.send(data));
            self.handle.while_current(self.held.lease(), sent).await
        };
        self.end_if_failed(result)
    }

    /// Copies: the server takes the rows, all or none. Gives their number.
    ///
    /// # Errors
    ///
    /// As [`send`](CopyIn::send). With the outcome `MayHaveRun` the answer was lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have copied. Later reads of the handle take care of that.
    pub async fn finish(mut self) -> Result<u64> {
        if self.is_over {
            return Err(self.given_up());
        }
        // Noted when it is dropped, which is behind all answers.
        let mut written = WritesAtTheEnd::new(self.handle.clone(), self.is_write);
        let result = {
            let finished = pin!(self.sink.as_mut().finish());
            self.handle.while_current(self.held.lease(), finished).await
        };
        let result = match self.end_if_failed(result) {
            Ok(copied) => self.close().await.map(|()| copied),
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(|error| error.outcome() == Outcome::Rejected) {
            written.forget();
        }
        result
    }

    /// Closes the frame that it runs in.
    async fn close(&mut self) -> Result<()> {
        if let Some(close) = self.close.take() {
            let closed = {
                let lease = self.held.lease();
                self.handle.while_current(lease, pin!(lease.close_frame(&close))).await
            };
            match closed {
                Ok(closed) => closed.map_err(|error| self.describe(error))?,
                Err(given_up) => return Err(self.give_up(given_up)),
            }
        }
        self.is_over = true;
        self.held.lease().settle();
        Ok(())
    }

    /// What the server said ends it; after anything else nobody knows where it is.
    fn end_if_failed<T>(
        &mut self,
        result: std::result::Result<std::result::Result<T, tokio_postgres::Error>, GivenUp>,
    ) -> Result<T> {
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = DriverError::from(error);
                let is_lost = error.failure().kind == FailureKind::ConnectionLost || !is_about_a_row(&error);
                if !is_lost && !self.is_over {
                    self.is_over = true;
                    self.held.lease().settle();
                }
                Err(self.describe(error))
            }
            Err(given_up) => Err(self.give_up(given_up)),
        }
    }

    /// Nothing of it goes on: where the server is with it nobody knows.
    fn give_up(&mut self, given_up: GivenUp) -> Error {
        let lease = self.held.lease();
        self.is_over = true;
        lease.interrupt();
        match given_up {
            GivenUp::TimedOut => timed_out(lease.node(), Outcome::MayHaveRun),
            GivenUp::Replaced => {
                let text = format!("{} went silent or lost its role while rows were copied", lease.node());
                Error::new(ErrorKind::ConnectionLost, Outcome::MayHaveRun, text)
            }
        }
    }

    fn given_up(&self) -> Error {
        let text = format!("{}: the copy failed or was given up before", self.held.lease().node());
        Error::new(ErrorKind::ConnectionLost, Outcome::Rejected, text)
    }

    fn describe(&self, error: DriverError) -> Error {
        let backend = self.handle.cluster().backend();
        Error::from_backend(backend, self.held.lease().node(), "copying rows", error)
    }
}

impl Drop for CopyIn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // The connection is closed; the server has nothing of rows that do not end.
            self.held.lease().interrupt();
        }
    }
}

impl fmt::Debug for CopyIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn").field("is_open", &!self.is_over).finish_non_exhaustive()
    }
}

/// Whether the server had begun to read rows when it refused the copy. Otherwise, as when a trigger refuses it before, there are two answers,
/// as where it does not begin.
fn is_about_a_row(error: &DriverError) -> bool {
    let context = error.as_db_error().and_then(DbError::where_);
    context.is_some_and(|context| context.lines().any(|line| line.starts_with("COPY ")))
}

/// A copy that writes is never bare: the driver tells the end of the rows, and not what becomes of the commit behind it.
fn framed<'s>(lease: &NodeLease<Postgres>, scope: Option<&'s Scope>, target: Target<Lsn>) -> Frame<'s> {
    match Frame::new(lease.kind(), scope, target) {
        Frame::Bare if !target.access.is_read() => Frame::Transaction { is_read_only: false, scope: None },
        frame => frame,
    }
}

/// What a [`CopyIn`] is made of.
struct Started {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    lease: NodeLease<Postgres>,
    close: Option<String>,
}

struct StartCopyIn<'a> {
    sql: &'a str,
    classification: Classification,
    scope: Option<&'a Scope>,
}

impl Operation<Postgres> for StartCopyIn<'_> {
    type Output = Started;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Started, Lsn>, DriverError> {
        soil(&lease, &self.classification, target);
        let close = lease.open_frame(framed(&lease, self.scope, target)).await?;
        let begun = lease.call(pin!(lease.client().copy_in(self.sql))).await;
        // The driver has said twice that it is through. A copy that is refused makes two answers of it, of which the second would be taken
        // for that to whatever comes next.
        let sink = Box::pin(begun.inspect_err(|_| lease.interrupt())?);
        Ok(Answer::new(Started { sink, lease, close }, None))
    }
}

struct StartCopyOut<'a> {
    sql: &'a str,
    classification: Classification,
    scope: Option<&'a Scope>,
}

impl Operation<Postgres> for StartCopyOut<'_> {
    type Output = Begun<Bytes, CopyOutStream>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let position = lease.prove(target).await?;
        soil(&lease, &self.classification, target);
        let close = lease.open_frame(framed(&lease, self.scope, target)).await?;
        let mut rest = Box::pin(lease.call(pin!(lease.client().copy_out(self.sql))).await?);
        let first = lease.call(pin!(rest.try_next())).await?;
        Ok(Answer::new(Begun::new(first, rest, lease, close, target.access), position))
    }
}

/// Rows as the server writes them, made by [`Db::copy_out`] and [`Transaction::copy_out`]: in the form that the statement names, text by
/// default, a row at a time. Holds its connection until the last row; dropped before, it closes the connection and has the server
/// cancel the rest.
pub struct CopyOut<'c>(Rest<'c, Bytes, CopyOutStream>);

impl Stream for CopyOut<'_> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for CopyOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOut").field("is_open", &self.0.is_open()).finish_non_exhaustive()
    }
}
