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
    /// No connection can be opened, and none is out that could come back.
    #[error("cannot connect")]
    Connect(#[source] Arc<ConnectError<E>>),
    /// The pool was closed.
    #[error("the pool is closed")]
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
            Self::Closed => Self::Closed,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError<E: std::error::Error + 'static> {
    /// What the manager said.
    #[error(transparent)]
    Failed(E),
    /// It took longer than the connect timeout.
    #[error("no connection was open after {0:?}")]
    TimedOut(Duration),
    /// The manager panicked.
    #[error("the connection manager panicked")]
    Panicked,
}

/// What an acquire was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for somebody to give a connection back: all are in use.
    Wait,
    /// Waiting for a connection to be opened.
    Connect,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "all connections are in use",
            Self::Connect => "a new connection is not open yet",
        })
    }
}
