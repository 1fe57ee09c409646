//! The time of a run: the same in both of its processes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Counts from the start of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// On the system's monotonic clock, which all processes share.
    start: Duration,
}

impl Clock {
    /// One that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { start: system() }
    }

    /// The one that another process gave by [`start_nanos`](Self::start_nanos).
    #[must_use]
    pub const fn of_start(nanos: u64) -> Self {
        Self { start: Duration::from_nanos(nanos) }
    }

    /// What another process needs to have the same, in nanoseconds.
    #[must_use]
    pub fn start_nanos(self) -> u64 {
        u64::try_from(self.start.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long the run has been going on.
    #[must_use]
    pub fn now(self) -> Duration {
        system().saturating_sub(self.start)
    }
}

fn system() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}
