use std::io;

use millpond_cluster::{Failure, FailureKind};
use tokio_postgres::error::{DbError, Severity};

/// What went wrong below the routing: in the driver, or in what it was given.
///
/// Reach it from an [`Error`](crate::Error) by [`source_as`](crate::Error::source_as), or go straight for
/// `tokio_postgres::Error` or `DbError` in the same way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The driver's own error.
    #[error("{0}")]
    Driver(#[from] tokio_postgres::Error),
    /// The password callback failed.
    #[error("the password callback failed")]
    Password(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is to be run on every new connection was refused.
    #[error("what after_connect() was given failed")]
    AfterConnect(#[source] tokio_postgres::Error),
    /// The server's `standard_conforming_strings` is off, and the way to it does not let the connection set it.
    #[error("the server reads backslashes in literals as escapes (standard_conforming_strings is off)")]
    BackslashesInLiterals,
    /// The transaction of a test is over, and so is its handle.
    #[error("the transaction of the test is over: a call was given up, or its connection broke")]
    TestOver,
    /// A raw client left something in its connection that no reset takes away.
    #[error("the connection cannot be made clean")]
    Indelible,
    /// A connection led to another server than that which the node's monitor asks: the name has moved, or stands for several.
    #[error("the connection led to another server than the one that was asked")]
    WrongServer,
    /// The answer to what the database holds could not be made sense of: a defect here.
    #[error("the catalog could not be built")]
    Catalog(#[source] tokio::task::JoinError),
    /// A connection was used for what it is not, or is gone: a defect here.
    #[error("a monitor's connection was used for statements, or the other way round")]
    Misused,
    /// The replica has not come as far as the read has to show; its answer was thrown away.
    #[error("the replica does not show the caller's last write yet")]
    Behind,
    /// A transaction that an earlier error had aborted was rolled back instead of committed.
    #[error("an earlier error had aborted the transaction: it was rolled back")]
    AbortedTransaction,
}

impl DriverError {
    /// What the server said, when a server said something.
    #[must_use]
    pub fn as_db_error(&self) -> Option<&DbError> {
        match self {
            Self::Driver(error) => error.as_db_error(),
            Self::AfterConnect(error) => error.as_db_error(),
            Self::Password(_)
            | Self::BackslashesInLiterals
            | Self::TestOver
            | Self::Indelible
            | Self::WrongServer
            | Self::Catalog(_)
            | Self::Misused
            | Self::Behind
            | Self::AbortedTransaction => None,
        }
    }

    /// What follows from it for routing.
    pub(crate) fn failure(&self) -> Failure {
        let failure = |kind, hint| Failure { kind, code: None, hint };
        match self {
            Self::Driver(error) => match error.as_db_error() {
                Some(said) => {
                    let is_last = matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
                    failure_of_server(said.code().code(), said.message(), is_last)
                }
                None => failure_of_driver(error),
            },
            Self::AfterConnect(_) => {
                failure(FailureKind::ConnectionLost, Some("correct the text that after_connect() was given"))
            }
            Self::BackslashesInLiterals => failure(
                FailureKind::Denied,
                Some("set standard_conforming_strings to on for the role or the database"),
            ),
            Self::TestOver => failure(FailureKind::Denied, None),
            Self::Password(_) | Self::Indelible | Self::Misused => failure(FailureKind::ConnectionLost, None),
            Self::WrongServer => failure(
                FailureKind::ConnectionLost,
                Some("does the name stand for several servers, or has it just moved?"),
            ),
            Self::Catalog(_) => failure(FailureKind::Rejected, None),
            Self::Behind => failure(FailureKind::Behind, None),
            Self::AbortedTransaction => failure(FailureKind::Rejected, Some("run the transaction again")),
        }
    }
}

/// What follows from an error that the server told by this code (SQLSTATE) and message; with the last ones, of the severities FATAL and
/// PANIC, it ends the connection.
#[must_use]
pub fn failure_of_server(code: &str, message: &str, is_last: bool) -> Failure {
    let (kind, hint) = match code {
        "25006" => (FailureKind::ReadOnly, None),
        // These three have other meanings too; only the text tells (it may be translated: then the error stands).
        "0A000" | "55000" | "XX000" if message.contains("recovery") => (FailureKind::ReadOnly, None),
        "40001" | "40P01" => (FailureKind::Conflict, None),
        "28P01" => {
            (FailureKind::Denied, Some("check the user name and the password, or the password callback"))
        }
        "28000" => (FailureKind::Denied, Some("check the user name, and the server's pg_hba.conf")),
        "3D000" => (FailureKind::Denied, Some("create the database, or correct its name in the URL")),
        "42501" => (FailureKind::Rejected, Some("grant the role what the message names")),
        "53300" => (
            FailureKind::ConnectionLost,
            Some("the server has no connection left: lower max_size or raise max_connections"),
        ),
        // 57P05 and 25P03 end a connection that was idle too long.
        "08P01" if message.contains("unsupported startup parameter") => (
            FailureKind::ConnectionLost,
            Some("a pooler stands in front of the server? Then say so: Builder::behind_pooler()"),
        ),
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => (FailureKind::ConnectionLost, None),
        // Whatever the reason, the connection ends with it, and nobody knows what became of a commit.
        _ if is_last => (FailureKind::ConnectionLost, None),
        _ => (FailureKind::Rejected, None),
    };
    debug_assert!(code != "00000", "an error with the code of a success");
    Failure { kind, code: Some(code.to_owned()), hint }
}

/// The driver keeps the kinds of its errors to itself; its texts are what tells them apart. A text that is not known
/// counts as a lost connection, after which nothing may be said of the statement.
fn failure_of_driver(error: &tokio_postgres::Error) -> Failure {
    let text = error.to_string();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    // A text with a NUL in it is found out when its message is made, and told with the words for an answer.
    let cause = std::error::Error::source(error);
    let is_unsent = cause.is_some_and(|cause| cause.to_string().contains("embedded null"));
    let (kind, hint) = if is_unsent
        || begins(&["error serializing parameter", "expected ", "error encoding message"])
    {
        (FailureKind::NotSent, None)
    } else if begins(&["error deserializing column", "invalid column", "query returned"]) {
        (FailureKind::Rejected, None)
    } else if begins(&["invalid configuration", "authentication error"]) {
        (FailureKind::Denied, Some("check the user name, the password and the server's pg_hba.conf"))
    } else if begins(&["error performing TLS handshake"]) {
        (FailureKind::Denied, Some("check sslmode and sslrootcert in the URL, and the server's certificate"))
    } else {
        (FailureKind::ConnectionLost, hint_of_io(error))
    };
    Failure { kind, code: None, hint }
}

fn hint_of_io(error: &tokio_postgres::Error) -> Option<&'static str> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionRefused => Some("is a server listening there?"),
                io::ErrorKind::NotFound => Some("is the server running, and is this its socket?"),
                _ if io.to_string().contains("lookup") => Some("check the host name"),
                _ => None,
            };
        }
        source = cause.source();
    }
    None
}
