use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millpond_core::{Lag, Reason, Role};

/// Says where statements ran, and why: of a handle that was made [with it](crate::Handle::with_report), the last one.
///
/// Clones are the same report. For statements that run at the same time take a handle and a report each: both are cheap.
#[derive(Clone, Debug, Default)]
pub struct Report(Arc<Mutex<Option<Served>>>);

impl Report {
    /// One with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the last statement ran, or was sent in vain; `None` when none was sent.
    #[must_use]
    pub fn last(&self) -> Option<Served> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, and forgets it.
    #[must_use]
    pub fn take(&self) -> Option<Served> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn put(&self, served: Served) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
    }
}

/// Where a statement ran, and why there. `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Served {
    /// The node.
    pub node: Arc<str>,
    /// As what it ran there.
    pub role: Role,
    /// Why there.
    pub reason: Reason,
    /// How far the node was behind when the statement was sent, as far as was known.
    pub lag: Lag,
    /// How long it waited for a replica, a primary or a connection.
    pub waited: Duration,
    /// How many nodes it was sent to, this one included.
    pub tries: u64,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, role, reason, lag, waited, tries } = self;
        write!(f, "{node} as {role}: {reason}; lag {lag}, waited {waited:?}, tries {tries}")
    }
}
