use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use millpond_cluster::{Handle, NodeLease};
use pin_project_lite::pin_project;
use tokio_postgres::Row;

use crate::{DriverError, Error, Postgres, Result};

pin_project! {
    /// Rows as they come. Holds its connection until the last row; dropped before, it closes the connection and has the
    /// server cancel the rest.
    pub struct RowStream {
        #[pin]
        rows: tokio_postgres::RowStream,
        // Given back behind the last row.
        connection: Option<NodeLease<Postgres>>,
        writes: WritesAtTheEnd,
    }
}

impl RowStream {
    pub(crate) fn new(
        rows: tokio_postgres::RowStream,
        connection: NodeLease<Postgres>,
        handle: &Handle<Postgres>,
        is_write: bool,
    ) -> Self {
        connection.unsettle();
        let writes = WritesAtTheEnd { handle: handle.clone(), is_write };
        Self { rows, connection: Some(connection), writes }
    }
}

impl Stream for RowStream {
    type Item = Result<Row>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        let this = self.project();
        let item = ready!(this.rows.poll_next(cx));
        if let Some(Ok(row)) = item {
            return Poll::Ready(Some(Ok(row)));
        }
        this.writes.over();
        let Some(connection) = this.connection.take() else { return Poll::Ready(None) };
        let error = item.and_then(Result::err).map(DriverError::from);
        // After a refusal, too, the server is done with the statement; after anything else nobody knows.
        if error.as_ref().is_none_or(|error| error.as_db_error().is_some()) {
            connection.settle();
        }
        let backend = this.writes.handle.cluster().backend();
        let described = |error| Err(Error::from_backend(backend, connection.node(), "reading rows", error));
        Poll::Ready(error.map(described))
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("is_open", &self.connection.is_some()).finish_non_exhaustive()
    }
}

/// A statement that writes and gives rows is over when its rows are, or when nobody reads them any more.
struct WritesAtTheEnd {
    handle: Handle<Postgres>,
    is_write: bool,
}

impl WritesAtTheEnd {
    fn over(&mut self) {
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
