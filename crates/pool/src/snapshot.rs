use crate::{CloseReason, Phase};

/// How a pool stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The most connections it may have.
    pub max_size: usize,
    /// The connections it has, those being opened, checked and reset included.
    pub size: usize,
    /// Connections that rest.
    pub idle: usize,
    /// Connections being opened.
    pub connecting: usize,
    /// Idle connections that are being checked.
    pub checking: usize,
    /// Returned connections that are being reset.
    pub resetting: usize,
    /// Connections that are being closed.
    pub closing: usize,
    /// Callers that wait.
    pub waiting: usize,
}

impl Status {
    /// Connections that are handed out or being reset.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.size.saturating_sub(self.idle + self.connecting + self.checking + self.closing)
    }
}

/// How often what happened since the pool was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub connects_failed: u64,
    /// Connections that were handed out.
    pub acquired: u64,
    /// Callers that had to wait, be it for a check, whether they were served or not.
    pub waited: u64,
    /// Connections that went from one user, or from being opened, checked or reset, straight to a waiter.
    pub handed_off: u64,
    /// Callers that were refused since as many waited as may.
    pub queue_full: u64,
    /// Callers that were turned away so that others are served in time.
    pub shed: u64,
    /// Callers that were refused at once since nothing can be opened.
    pub failed_fast: u64,
    /// Callers that left before they were served.
    pub cancelled: u64,
    /// Leases that were out for longer than `leak_after`.
    pub leaked: u64,
    pub(crate) timed_out: [u64; 3],
    pub(crate) closed: [u64; CloseReason::ALL.len()],
}

impl Counters {
    /// Callers that waited in vain, by what their time went on.
    #[must_use]
    pub const fn timed_out(&self, phase: Phase) -> u64 {
        self.timed_out[phase as usize]
    }

    /// Connections that were closed, by why.
    #[must_use]
    pub const fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections that were closed for each reason.
    pub fn all_closed(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL.into_iter().map(|reason| (reason, self.closed(reason)))
    }
}

/// How a pool stands, and what happened in it, at the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How it stands.
    pub status: Status,
    /// What happened.
    pub counters: Counters,
}
