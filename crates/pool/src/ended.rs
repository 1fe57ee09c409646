//! How what a manager does ends.

use std::error::Error;
use std::time::Duration;

/// How a manager's future ended.
pub(crate) enum Ended<T> {
    With(T),
    Panicked,
    TimedOut,
    Aborted,
}

impl<E: Error + 'static> Ended<Result<(), E>> {
    /// Tells why it did not end well.
    pub(crate) fn tell(&self, limit: Duration, tell: impl FnOnce(&(dyn Error + 'static))) {
        match self {
            Self::With(Ok(())) | Self::Aborted => {}
            Self::With(Err(error)) => tell(error),
            Self::TimedOut => tell(&TendError::TimedOut(limit)),
            Self::Panicked => tell(&TendError::Panicked),
        }
    }
}

/// Why a check or a reset did not end well, where the manager said nothing.
#[derive(Debug, thiserror::Error)]
enum TendError {
    #[error("it was not over after {0:?}")]
    TimedOut(Duration),
    #[error("the connection manager panicked")]
    Panicked,
}
