use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use millpond_cluster::{FailureKind, Handle, NodeLease};
use tokio_postgres::Row;

use crate::connection::Connection;
use crate::lease::Sent;
use crate::operation::Rows;
use crate::{DriverError, Error, ErrorKind, Outcome, Postgres, Result};

/// Rows as they come. Holds its connection until the last row; dropped before, it closes the connection and has the
/// server cancel the rest.
pub struct RowStream {
    first: Option<Row>,
    rest: Pin<Box<tokio_postgres::RowStream>>,
    /// Given back behind the last row.
    connection: Option<NodeLease<Postgres>>,
    /// What closes the frame that the rows are read in.
    close: Option<String>,
    /// Closes it, behind the last row.
    closing: Option<Closing>,
    writes: WritesAtTheEnd,
}

type Closing = Pin<Box<dyn Future<Output = (NodeLease<Postgres>, Result<(), DriverError>)> + Send>>;

impl RowStream {
    pub(crate) fn new(rows: Rows, handle: &Handle<Postgres>) -> Self {
        let Rows { first, rest, connection, close, access } = rows;
        let writes = WritesAtTheEnd::new(handle.clone(), !access.is_read());
        connection.unsettle();
        let mut this = Self { first, rest, connection: Some(connection), close, closing: None, writes };
        if this.first.is_none() {
            this.end();
        }
        this
    }

    /// The server is done with the statement.
    fn end(&mut self) {
        self.writes.over();
        if let Some(connection) = self.connection.take() {
            connection.settle();
        }
    }

    /// What the server said instead of a row; then it is done with the statement. After anything else nobody knows.
    fn failed(&mut self, error: DriverError) -> Error {
        let Some(connection) = self.connection.take() else {
            return Error::new(ErrorKind::ConnectionLost, Outcome::MayHaveRun, "the stream is over");
        };
        self.writes.over();
        match error.failure().kind {
            FailureKind::ConnectionLost => connection.interrupt(),
            _ => connection.settle(),
        }
        let backend = self.writes.handle.cluster().backend();
        Error::from_backend(backend, connection.node(), "reading rows", error)
    }
}

impl Stream for RowStream {
    type Item = Result<Row>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(closing) = &mut self.closing {
            let (connection, closed) = ready!(closing.as_mut().poll(cx));
            self.closing = None;
            self.connection = Some(connection);
            return Poll::Ready(match closed {
                Ok(()) => {
                    self.end();
                    None
                }
                Err(error) => Some(Err(self.failed(error))),
            });
        }
        if self.connection.is_none() {
            return Poll::Ready(None);
        }
        match ready!(self.rest.as_mut().poll_next(cx)) {
            Some(Ok(row)) => Poll::Ready(Some(Ok(row))),
            Some(Err(error)) => Poll::Ready(Some(Err(self.failed(error.into())))),
            None => match (self.close.take(), self.connection.take()) {
                (Some(close), Some(connection)) => {
                    self.closing = Some(Box::pin(async move {
                        let closed = connection.close_frame(&close).await;
                        (connection, closed)
                    }));
                    self.poll_next(cx)
                }
                (_, connection) => {
                    self.connection = connection;
                    self.end();
                    Poll::Ready(None)
                }
            },
        }
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream")
            .field("is_open", &(self.connection.is_some() || self.closing.is_some()))
            .finish_non_exhaustive()
    }
}

/// Rows as they come, on a connection that its user keeps. Statements that are sent meanwhile wait for the last row. Dropped before, it
/// leaves a connection that nobody else gets.
pub struct BorrowedRowStream<'c> {
    rest: Pin<Box<tokio_postgres::RowStream>>,
    connection: &'c Connection,
    handle: &'c Handle<Postgres>,
    /// Dropped when the server is done with the statement, or nobody reads it any more.
    sent: Option<Sent<'c>>,
    is_over: bool,
}

impl<'c> BorrowedRowStream<'c> {
    pub(crate) fn new(
        rest: tokio_postgres::RowStream,
        connection: &'c Connection,
        handle: &'c Handle<Postgres>,
        sent: Option<Sent<'c>>,
    ) -> Self {
        connection.unsettle();
        Self { rest: Box::pin(rest), connection, handle, sent, is_over: false }
    }
}

impl Drop for BorrowedRowStream<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // As a call that is given up: a transaction does not go on behind it.
            self.connection.interrupt();
        }
    }
}

impl Stream for BorrowedRowStream<'_> {
    type Item = Result<Row>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = ready!(self.rest.as_mut().poll_next(cx)).map(|row| row.map_err(DriverError::from));
        let is_lost = next.as_ref().is_some_and(|row| {
            row.as_ref().is_err_and(|error| error.failure().kind == FailureKind::ConnectionLost)
        });
        self.is_over = !matches!(next, Some(Ok(_)));
        if self.is_over {
            self.sent = None;
            if is_lost {
                self.connection.interrupt();
            } else {
                self.connection.settle();
            }
        }
        Poll::Ready(next.map(|row| {
            row.map_err(|error| {
                let backend = self.handle.cluster().backend();
                Error::from_backend(backend, self.connection.node(), "reading rows", error)
            })
        }))
    }
}

impl fmt::Debug for BorrowedRowStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BorrowedRowStream").field("is_open", &!self.is_over).finish_non_exhaustive()
    }
}

/// A statement that writes and gives rows is over when its rows are, or when nobody reads them any more.
pub(crate) struct WritesAtTheEnd {
    handle: Handle<Postgres>,
    is_write: bool,
}

impl WritesAtTheEnd {
    pub(crate) const fn new(handle: Handle<Postgres>, is_write: bool) -> Self {
        Self { handle, is_write }
    }

    /// It turned out to be none.
    pub(crate) const fn forget(&mut self) {
        self.is_write = false;
    }

    pub(crate) fn over(&mut self) {
        if std::mem::take(&mut self.is_write) {
            self.handle.wrote();
        }
    }
}

impl Drop for WritesAtTheEnd {
    fn drop(&mut self) {
        self.over();
    }
}
