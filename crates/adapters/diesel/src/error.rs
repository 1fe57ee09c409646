//! What goes wrong, in millpond's words for who routes and in diesel's for who called.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use millpond_cluster::{ErrorKind, Failure, FailureKind};
use millpond_postgres::DriverError;

/// No connection: no primary, none before the deadline, too many callers; or a commit that nobody answered. It derefs to
/// [`millpond_postgres::Error`], and is made one of diesel's by `?`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] millpond_postgres::Error);

impl std::ops::Deref for Error {
    type Target = millpond_postgres::Error;

    fn deref(&self) -> &millpond_postgres::Error {
        &self.0
    }
}

/// As what diesel says of a connection that is closed, or of a command that could not be sent.
impl From<Error> for DieselError {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionLost | ErrorKind::Closed => DatabaseErrorKind::ClosedConnection,
            _ => DatabaseErrorKind::UnableToSendCommand,
        };
        Self::DatabaseError(kind, Box::new(error.to_string()))
    }
}

/// What went wrong below the routing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// On a monitor's connection, or of the routing's own.
    #[error("{0}")]
    Own(#[from] DriverError),
    /// When a connection was set up as diesel has them.
    #[error("{0}")]
    SetUp(#[from] diesel::ConnectionError),
    /// In a statement of ours.
    #[error("{0}")]
    Diesel(#[from] DieselError),
    /// What was given up was still at work, or something was left that no reset takes away.
    #[error("the connection cannot be made clean")]
    Unclean,
}

impl BackendError {
    pub(crate) fn failure(&self) -> Result<Failure, &DriverError> {
        let kind = match self {
            Self::Own(error) => return Err(error),
            Self::Diesel(error) if !is_lost(error) => FailureKind::Rejected,
            Self::SetUp(_) | Self::Diesel(_) | Self::Unclean => FailureKind::ConnectionLost,
        };
        Ok(Failure { kind, code: None, hint: None })
    }
}

/// Whether nobody knows, behind it, what the server did: the connection is gone, or the server is going away. diesel tells a code only of what it has a name
/// for, so that other errors of the server's count as that, too: a request may be answered by 503 then.
#[must_use]
pub const fn is_lost(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, _) => !matches!(
            kind,
            DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction
                | DatabaseErrorKind::RestrictViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::ExclusionViolation
        ),
        DieselError::RollbackErrorOnCommit { .. } => true,
        _ => false,
    }
}
