use std::collections::VecDeque;
use std::time::Duration;

use crate::logs::{BranchId, Logs, Spot};

/// The writes that somebody was told are done, and has to be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed {
    writes: VecDeque<(Spot, Duration)>,
}

impl Owed {
    /// What lies further back is shown by what shows the rest, unless all of the rest was discarded.
    const MOST: usize = 64;

    pub(crate) fn add(&mut self, write: Spot, acknowledged: Duration) {
        if self.writes.len() == Self::MOST {
            self.writes.pop_front();
        }
        self.writes.push_back((write, acknowledged));
    }

    /// Which write, acknowledged before a time and not discarded by a failover, a state does not show.
    pub(crate) fn missing(
        &self,
        logs: &Logs,
        state: Spot,
        begun: Duration,
        official: BranchId,
    ) -> Option<Spot> {
        let due = self.writes.iter().rev().filter(|(_, acknowledged)| *acknowledged < begun);
        due.map(|(write, _)| *write)
            .find(|write| !logs.shows(state, *write) && logs.is_kept_by(official, *write))
    }
}
