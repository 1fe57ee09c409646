//! What goes wrong, in sqlx's words for who called and in millpond's for who routes.

use std::io;
use std::sync::Arc;

use millpond_cluster::{Error, ErrorKind, Failure, FailureKind};
use millpond_postgres::DriverError;
use millpond_postgres::foundation::failure_of_server;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What went wrong below the routing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// On a monitor's connection, or of the routing's own.
    #[error("{0}")]
    Own(#[from] DriverError),
    /// When a connection was opened, checked or reset.
    #[error("{0}")]
    Sqlx(Arc<sqlx::Error>),
    /// What a statement was refused with. The caller gets the error itself; these are its words.
    #[error("{words}")]
    Refused { failure: Failure, words: String },
    /// Something was left in the connection that no reset takes away.
    #[error("the connection cannot be made clean")]
    Unclean,
}

impl From<sqlx::Error> for BackendError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(Arc::new(error))
    }
}

impl BackendError {
    /// What a statement was refused with.
    pub(crate) fn refused(error: &sqlx::Error) -> Self {
        Self::Refused { failure: failure_of(error), words: error.to_string() }
    }
}

/// What follows from an error of the driver's for routing.
pub(crate) fn failure_of(error: &sqlx::Error) -> Failure {
    let of = |kind| Failure { kind, code: None, hint: None };
    match error {
        sqlx::Error::Database(said) => match said.try_downcast_ref::<PgDatabaseError>() {
            Some(said) => {
                let is_last = matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic);
                failure_of_server(said.code(), said.message(), is_last)
            }
            None => of(FailureKind::Rejected),
        },
        // A value that does not fit its type: nothing was sent.
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => of(FailureKind::NotSent),
        // What the server gave is not what was asked for: it ran.
        sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement => of(FailureKind::Rejected),
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => of(FailureKind::Denied),
        // After anything else nobody knows where the connection is.
        _ => of(FailureKind::ConnectionLost),
    }
}

/// In sqlx's words: what it has one for, and else [`sqlx::Error::Io`] with the whole story, which [`routing_error`] gives back.
pub(crate) fn in_sqlx(error: Error) -> sqlx::Error {
    match error.kind() {
        ErrorKind::Closed => sqlx::Error::PoolClosed,
        ErrorKind::Config => sqlx::Error::Configuration(Box::new(error)),
        kind => sqlx::Error::Io(io::Error::new(io_kind(kind), error)),
    }
}

const fn io_kind(kind: ErrorKind) -> io::ErrorKind {
    match kind {
        ErrorKind::Timeout => io::ErrorKind::TimedOut,
        ErrorKind::ConnectionLost => io::ErrorKind::ConnectionAborted,
        ErrorKind::Start | ErrorKind::NoPrimary | ErrorKind::NoReplica | ErrorKind::Acquire => {
            io::ErrorKind::NotConnected
        }
        ErrorKind::Overloaded => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    }
}

/// What the routing said, where an error of sqlx's is one of that: no primary, no connection before the deadline, too many callers. It says by
/// its [outcome](millpond_cluster::Error::outcome) whether the statement may have run. What the server said is an error of sqlx's own.
///
/// ```
/// # fn status(error: &sqlx::Error) -> u16 {
/// match millpond_sqlx::routing_error(error).map(|error| error.kind()) {
///     Some(millpond_sqlx::ErrorKind::Overloaded | millpond_sqlx::ErrorKind::NoPrimary) => 503,
///     _ => 500,
/// }
/// # }
/// ```
#[must_use]
pub fn routing_error(error: &sqlx::Error) -> Option<&Error> {
    match error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref(),
        sqlx::Error::Configuration(error) => error.downcast_ref(),
        _ => None,
    }
}
