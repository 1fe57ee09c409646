use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio_postgres::Row;

use crate::Result;
use crate::rest::Rest;

/// Rows as they come. Holds its connection until the last row; dropped before, it closes the connection and has the
/// server cancel the rest.
pub struct RowStream(pub(crate) Rest<'static, Row, tokio_postgres::RowStream>);

impl Stream for RowStream {
    type Item = Result<Row>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("is_open", &self.0.is_open()).finish_non_exhaustive()
    }
}

/// Rows as they come, on a connection that its user keeps. Statements that are sent meanwhile wait for the last row. Dropped before, it
/// leaves a connection that nobody else gets.
pub struct BorrowedRowStream<'c>(pub(crate) Rest<'c, Row, tokio_postgres::RowStream>);

impl Stream for BorrowedRowStream<'_> {
    type Item = Result<Row>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for BorrowedRowStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BorrowedRowStream").field("is_open", &self.0.is_open()).finish_non_exhaustive()
    }
}
