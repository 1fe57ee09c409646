use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Why a connection left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The manager said that it is of no use any more, or panicked over it; or its user closed it.
    Broken,
    /// It did not answer a check, or not in time.
    CheckFailed,
    /// It could not be made clean, or not in time.
    ResetFailed,
    /// It rested for longer than the idle timeout.
    Idle,
    /// It reached its lifetime.
    Expired,
    /// It was handed out as often as it may.
    Used,
    /// Its generation was evicted.
    Evicted,
    /// The pool was made smaller.
    Resized,
    /// Its user took it out of the pool.
    Detached,
    /// The pool was closed.
    Closed,
}

impl CloseReason {
    pub(crate) const ALL: [Self; 10] = [
        Self::Broken,
        Self::CheckFailed,
        Self::ResetFailed,
        Self::Idle,
        Self::Expired,
        Self::Used,
        Self::Evicted,
        Self::Resized,
        Self::Detached,
        Self::Closed,
    ];

    /// The lower-case words, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::CheckFailed => "check_failed",
            Self::ResetFailed => "reset_failed",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Evicted => "evicted",
            Self::Resized => "resized",
            Self::Detached => "detached",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened in a pool, for whoever [listens](crate::Builder::on_event). What happens at every checkout is
/// counted and told to nobody: see [`Counters`](crate::Counters).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was opened.
    Opened {
        /// How long that took.
        took: Duration,
    },
    /// A connection could not be opened.
    ConnectFailed {
        /// Why: a [`ConnectError`](crate::ConnectError).
        error: &'a (dyn std::error::Error + 'static),
        /// When it is tried again, at the latest, if somebody wants it. Zero for what is tried anew at once.
        retry_after: Duration,
    },
    /// A check of a connection failed, which is then closed.
    CheckFailed {
        /// What the manager said; or that it took too long, or panicked.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A connection could not be made clean, and is then closed.
    ResetFailed {
        /// What the manager said; or that it took too long, or panicked.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A connection was closed.
    Closed {
        /// Why.
        reason: CloseReason,
    },
    /// A connection is out for longer than [`leak_after`](crate::Builder::leak_after). Told once for each lease.
    Leaked {
        /// Where it was acquired.
        site: &'static Location<'static>,
        /// For how long it is out.
        held: Duration,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { took } => write!(f, "a connection was opened in {took:?}"),
            Self::ConnectFailed { error, retry_after } => {
                write!(f, "a connection could not be opened, next try in {retry_after:?}: {error}")
            }
            Self::CheckFailed { error } => write!(f, "a check of a connection failed: {error}"),
            Self::ResetFailed { error } => write!(f, "a connection could not be made clean: {error}"),
            Self::Closed { reason } => write!(f, "a connection was closed: {reason}"),
            Self::Leaked { site, held } => {
                write!(f, "the connection that was acquired at {site} is out for {held:?}")
            }
        }
    }
}
