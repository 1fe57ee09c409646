use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why no connection could be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError<E: std::error::Error + 'static> {
    /// The deadline passed first.
    #[error("no connection within {waited:?}: {phase}")]
    Timeout {
        /// What the time went on.
        phase: Phase,
        /// How long the caller waited.
        waited: Duration,
        /// The last error of opening a connection, if there was one since the last success.
        #[source]
        cause: Option<Arc<ConnectError<E>>>,
    },
    /// No connection can be opened, and none is out that could come back; or trying again cannot help.
    #[error("cannot connect")]
    Connect(#[source] Arc<ConnectError<E>>),
    /// The same, found before: connections are tried in the background meanwhile, and nobody waits for that.
    #[error("cannot connect, and is tried again in {retry_after:?}")]
    Down {
        /// The last error of opening a connection.
        #[source]
        cause: Arc<ConnectError<E>>,
        /// When the next try begins at the latest. Zero while one is under way.
        retry_after: Duration,
    },
    /// As many callers wait as may.
    #[error("{waiting} callers wait for a connection already, and no more may")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// Callers wait for longer than is good for any of them, and this one was turned away so that others are served in time.
    #[error("turned away after {waited:?}, since callers wait for too long")]
    Shed {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The pool was closed, or the runtime that it lives in has ended.
    #[error("the pool is closed, or the runtime that it was built in has ended")]
    Closed,
}

// By hand, since a derive would ask `E: Clone`, and the errors are shared.
impl<E: std::error::Error + 'static> Clone for AcquireError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Timeout { phase, waited, cause } => {
                Self::Timeout { phase: *phase, waited: *waited, cause: cause.clone() }
            }
            Self::Connect(error) => Self::Connect(Arc::clone(error)),
            Self::Down { cause, retry_after } => {
                Self::Down { cause: Arc::clone(cause), retry_after: *retry_after }
            }
            Self::QueueFull { waiting } => Self::QueueFull { waiting: *waiting },
            Self::Shed { waited } => Self::Shed { waited: *waited },
            Self::Closed => Self::Closed,
        }
    }
}

impl<E: std::error::Error + 'static> AcquireError<E> {
    /// The error of opening a connection behind it, if there is one.
    #[must_use]
    pub fn cause(&self) -> Option<&Arc<ConnectError<E>>> {
        match self {
            Self::Timeout { cause, .. } => cause.as_ref(),
            Self::Connect(cause) | Self::Down { cause, .. } => Some(cause),
            Self::QueueFull { .. } | Self::Shed { .. } | Self::Closed => None,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError<E: std::error::Error + 'static> {
    /// What the manager, or the hook [`after_connect`](crate::Builder::after_connect), said.
    #[error(transparent)]
    Failed(E),
    /// It took longer than the connect timeout.
    #[error("no connection was open after {0:?}")]
    TimedOut(Duration),
    /// It was closed as soon as it was open: so said [`is_open`](crate::Manager::is_open).
    #[error("the connection was closed as soon as it was open")]
    Closed,
    /// The manager panicked.
    #[error("the connection manager panicked")]
    Panicked,
}

/// What an acquire was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for somebody to give a connection back: all are in use, being reset, or kept for another class.
    Wait,
    /// Waiting for a connection to be opened.
    Connect,
    /// Waiting for an idle connection to be checked.
    Check,
}

impl Phase {
    /// The lower-case word, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Connect => "connect",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "all connections are in use, or kept for others",
            Self::Connect => {
                "a new connection is not open yet (max_connecting limits how many are opened at a time)"
            }
            Self::Check => "an idle connection does not answer yet",
        })
    }
}
