//! Rows as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use sea_orm::{DbErr, QueryResult};

/// Rows as they come, from [`StreamTrait`](sea_orm::StreamTrait). Dropped before its end, it leaves a connection that is waited for, or closed.
pub struct QueryStream<'a> {
    rows: BoxStream<'a, Result<QueryResult, DbErr>>,
}

impl<'a> QueryStream<'a> {
    pub(crate) fn new(rows: impl Stream<Item = Result<QueryResult, DbErr>> + Send + 'a) -> Self {
        Self { rows: Box::pin(rows) }
    }
}

impl Stream for QueryStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl fmt::Debug for QueryStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryStream").finish_non_exhaustive()
    }
}
