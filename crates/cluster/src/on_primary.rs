//! Counts reads that ran on the primary, by the reason.

use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::Reason;

use crate::shards::{Shard, Shards};

/// Those that a read may go to the primary for; the first two where a replica could have served it, and gave no connection. Not that there is one node
/// alone: that is no news, and each read's.
const REASONS: [Reason; 13] = [
    Reason::FreshReplica,
    Reason::ProvingReplica,
    Reason::AskedForPrimary,
    Reason::NoReplica,
    Reason::ReplicasDrained,
    Reason::ReplicasDown,
    Reason::OtherTimeline,
    Reason::TooOld,
    Reason::OwnWrite,
    Reason::LastRead,
    Reason::SwitchedToPrimary,
    Reason::PrimaryOnlyMode,
    Reason::ShadowMode,
];

/// A count for each.
#[derive(Debug, Default)]
pub(crate) struct ReadsOnPrimary(Shards<[AtomicU64; REASONS.len()]>);

impl ReadsOnPrimary {
    pub(crate) fn count(&self, reason: Reason) {
        if let Some(index) = REASONS.iter().position(|one| *one == reason) {
            self.0.at(Shard::own())[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that there were any for, the most frequent first.
    pub(crate) fn read(&self) -> Vec<(Reason, u64)> {
        let sum =
            |index: usize| self.0.all().map(|counts| counts[index].load(Ordering::Relaxed)).sum::<u64>();
        let all = REASONS.iter().enumerate().map(|(index, reason)| (*reason, sum(index)));
        let mut counts: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}
