//! The rest of an answer that is read bit by bit, with the connection that it comes over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use millpond_cluster::core::Access;
use millpond_cluster::{FailureKind, Handle, NodeLease};

use crate::lease::Sent;
use crate::{DriverError, Error, Postgres, Result};

/// A connection that is used for as long as the answer comes.
pub(crate) enum Held<'c> {
    Own(NodeLease<Postgres>),
    Borrowed(&'c NodeLease<Postgres>),
}

impl Held<'_> {
    pub(crate) const fn lease(&self) -> &NodeLease<Postgres> {
        match self {
            Self::Own(lease) => lease,
            Self::Borrowed(lease) => lease,
        }
    }
}

/// What an operation hands on of an answer that has begun.
pub(crate) struct Begun<T, S> {
    /// Already read: with it come the refusals and lost connections that another node can still make good. None if it is empty.
    first: Option<T>,
    rest: Pin<Box<S>>,
    lease: NodeLease<Postgres>,
    /// What closes the frame that it is read in.
    close: Option<String>,
    /// What it ran as: a read can have become more on the way here.
    access: Access,
}

impl<T, S> Begun<T, S> {
    /// From here on the connection is of no use to anybody else until the answer is read. Dropped, it leaves one that is closed.
    pub(crate) fn new(
        first: Option<T>,
        rest: Pin<Box<S>>,
        lease: NodeLease<Postgres>,
        close: Option<String>,
        access: Access,
    ) -> Self {
        lease.unsettle();
        Self { first, rest, lease, close, access }
    }
}

/// An answer that is read bit by bit. Dropped before its end, it leaves a connection that nobody else gets.
pub(crate) struct Rest<'c, T, S> {
    first: Option<T>,
    rest: Pin<Box<S>>,
    /// Whether the server has sent all of it.
    is_read: bool,
    /// Let go behind the end.
    held: Option<Held<'c>>,
    /// What closes the frame that it is read in.
    close: Option<String>,
    closing: Option<Closing<'c>>,
    writes: WritesAtTheEnd,
    /// What a lease notes when the server is done with the statement, or nobody reads its answer any more.
    sent: Option<Sent<'c>>,
}

type Closing<'c> = Pin<Box<dyn Future<Output = (Held<'c>, Result<(), DriverError>)> + Send + 'c>>;

impl<T, S> Rest<'static, T, S> {
    /// An answer with its own connection, of which the first bit is read.
    pub(crate) fn own(begun: Begun<T, S>, handle: &Handle<Postgres>) -> Self {
        let Begun { first, rest, lease, close, access } = begun;
        let writes = WritesAtTheEnd::new(handle.here(), !access.is_read());
        let mut this = Self::new(rest, Held::Own(lease), close, writes, None);
        this.is_read = first.is_none();
        this.first = first;
        this
    }
}

impl<'c, T, S> Rest<'c, T, S> {
    /// An answer over the connection of a transaction or a lease. Who has that notes what is written.
    pub(crate) fn borrowed(
        rest: S,
        lease: &'c NodeLease<Postgres>,
        close: Option<String>,
        handle: &Handle<Postgres>,
        sent: Option<Sent<'c>>,
    ) -> Self {
        let writes = WritesAtTheEnd::new(handle.clone(), false);
        lease.unsettle();
        Self::new(Box::pin(rest), Held::Borrowed(lease), close, writes, sent)
    }

    const fn new(
        rest: Pin<Box<S>>,
        held: Held<'c>,
        close: Option<String>,
        writes: WritesAtTheEnd,
        sent: Option<Sent<'c>>,
    ) -> Self {
        Self { first: None, rest, is_read: false, held: Some(held), close, closing: None, writes, sent }
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.held.is_some() || self.closing.is_some()
    }

    /// The server is done with the statement.
    fn end(&mut self, held: &Held<'_>) {
        self.writes.over();
        self.sent = None;
        held.lease().settle();
    }

    /// What the server said instead of more; then it is done with the statement. After anything else nobody knows.
    fn failed(&mut self, held: &Held<'_>, error: DriverError) -> Error {
        let may_commit_midway = self.sent.as_ref().is_some_and(Sent::may_commit_midway);
        match error.failure().kind {
            FailureKind::ConnectionLost => {
                self.writes.over();
                self.sent = None;
                held.lease().interrupt();
            }
            _ => self.end(held),
        }
        let backend = self.writes.handle.cluster().backend();
        let error = Error::from_backend(backend, held.lease().node(), "reading an answer", error);
        if may_commit_midway { error.after_a_part_may_have_run() } else { error }
    }
}

impl<T, S> Rest<'_, T, S>
where
    S: Stream<Item = Result<T, tokio_postgres::Error>>,
{
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.held.is_some() {
            let read = if self.is_read { None } else { ready!(self.rest.as_mut().poll_next(cx)) };
            let ended = match read {
                Some(Ok(next)) => return Poll::Ready(Some(Ok(next))),
                Some(Err(error)) => Err(error.into()),
                None => Ok(()),
            };
            let close = self.close.take();
            self.closing = self.held.take().map(|held| Box::pin(closed(held, close, ended)) as Closing<'_>);
        }
        let Some(closing) = &mut self.closing else { return Poll::Ready(None) };
        let (held, ended) = ready!(closing.as_mut().poll(cx));
        self.closing = None;
        Poll::Ready(match ended {
            Ok(()) => {
                self.end(&held);
                None
            }
            Err(error) => Some(Err(self.failed(&held, error))),
        })
    }
}

/// Closes the frame that an answer came in, if it came in one.
async fn closed(
    held: Held<'_>,
    close: Option<String>,
    ended: Result<(), DriverError>,
) -> (Held<'_>, Result<(), DriverError>) {
    let ended = match (close, ended) {
        (None, ended) => ended,
        (Some(close), Ok(())) => held.lease().close_frame(&close).await,
        (Some(_), Err(error)) => Err(held.lease().roll_back_frame(error).await),
    };
    (held, ended)
}

impl<T, S> Drop for Rest<'_, T, S> {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            // As a call that is given up: a transaction does not go on behind it.
            held.lease().interrupt();
        }
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
