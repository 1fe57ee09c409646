//! Counts calls that failed, by what went wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ErrorKind;

/// Those that a routed call can fail with.
const KINDS: [ErrorKind; 9] = [
    ErrorKind::NoPrimary,
    ErrorKind::NoReplica,
    ErrorKind::Acquire,
    ErrorKind::Closed,
    ErrorKind::Overloaded,
    ErrorKind::Rejected,
    ErrorKind::ConnectionLost,
    ErrorKind::Timeout,
    ErrorKind::Token,
];

/// A count for each.
#[derive(Debug, Default)]
pub(crate) struct Failed([AtomicU64; KINDS.len()]);

impl Failed {
    pub(crate) fn count(&self, kind: ErrorKind) {
        if let Some(index) = KINDS.iter().position(|one| *one == kind) {
            self.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that there were any of, the most frequent first.
    pub(crate) fn read(&self) -> Vec<(ErrorKind, u64)> {
        let all = KINDS.iter().zip(&self.0).map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)));
        let mut counts: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}
