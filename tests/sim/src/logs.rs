//! What was really written: the tree of timelines, and how far each one's log went at which time.

use std::collections::VecDeque;
use std::time::Duration;

/// A branch of the tree. Unlike a timeline's number it is never the same for two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BranchId(usize);

/// A state of the data: all up to a place of a branch, and what lies before that on those it forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) branch: BranchId,
    pub(crate) place: u64,
}

/// Whose a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The cluster's.
    Cluster,
    /// A restored copy's.
    Copy,
    /// Another cluster's.
    Stranger,
}

#[derive(Debug)]
struct Branch {
    timeline: u32,
    owner: Owner,
    parent: Option<Spot>,
    end: u64,
    /// When the log reached which place.
    written: Steps,
    /// When all up to which place was acknowledged, or could be.
    shown: Steps,
}

#[derive(Debug)]
pub(crate) struct Logs {
    branches: Vec<Branch>,
    next_timeline: u32,
}

impl Logs {
    /// A cluster with some history on its first timeline.
    pub(crate) fn new() -> (Self, BranchId) {
        let mut logs = Self { branches: Vec::new(), next_timeline: 1 };
        let first = logs.begin(None, 1000, Owner::Cluster, Duration::ZERO);
        (logs, first)
    }

    /// A new timeline that forks at a spot.
    pub(crate) fn fork(&mut self, at: Spot, owner: Owner, now: Duration) -> BranchId {
        self.begin(Some(at), at.place, owner, now)
    }

    /// The log of another cluster.
    pub(crate) fn strange(&mut self, place: u64, now: Duration) -> BranchId {
        self.begin(None, place, Owner::Stranger, now)
    }

    fn begin(&mut self, parent: Option<Spot>, place: u64, owner: Owner, now: Duration) -> BranchId {
        // That of a copy or a stranger comes from elsewhere. No two are the same, since nothing could tell them apart.
        let elsewhere = if owner == Owner::Cluster { 0 } else { 1_000_000 };
        let steps = || Steps(VecDeque::from([(now, place)]));
        self.branches.push(Branch {
            timeline: self.next_timeline + elsewhere,
            owner,
            parent,
            end: place,
            written: steps(),
            shown: steps(),
        });
        self.next_timeline += 1;
        BranchId(self.branches.len() - 1)
    }

    pub(crate) fn timeline(&self, branch: BranchId) -> u32 {
        self.branches[branch.0].timeline
    }

    pub(crate) fn owner(&self, branch: BranchId) -> Owner {
        self.branches[branch.0].owner
    }

    pub(crate) fn end(&self, branch: BranchId) -> u64 {
        self.branches[branch.0].end
    }

    /// Writes so many bytes; gives the place behind them.
    pub(crate) fn append(&mut self, branch: BranchId, bytes: u64, now: Duration) -> u64 {
        let branch = &mut self.branches[branch.0];
        branch.end += bytes;
        branch.written.reach(branch.end, now);
        branch.end
    }

    /// All up to there is acknowledged, or could be.
    pub(crate) fn show(&mut self, spot: Spot, now: Duration) {
        self.branches[spot.branch.0].shown.reach(spot.place, now);
    }

    /// How far the log of a branch is shown now by who writes it.
    pub(crate) fn shown(&self, branch: BranchId) -> u64 {
        self.branches[branch.0].shown.last()
    }

    /// How far the log was at a time.
    pub(crate) fn written_as_of(&self, branch: BranchId, time: Duration) -> u64 {
        self.as_of(branch, time, |branch| &branch.written).place
    }

    /// What had been acknowledged at a time.
    pub(crate) fn shown_as_of(&self, branch: BranchId, time: Duration) -> Spot {
        self.as_of(branch, time, |branch| &branch.shown)
    }

    fn as_of(&self, branch: BranchId, time: Duration, steps: impl Fn(&Branch) -> &Steps) -> Spot {
        let (mut at, mut most) = (branch, u64::MAX);
        loop {
            let branch = &self.branches[at.0];
            let found = steps(branch).as_of(time);
            match (found, branch.parent) {
                (Some(place), _) => return Spot { branch: at, place: place.min(most) },
                (None, Some(fork)) => {
                    most = most.min(fork.place);
                    at = fork.branch;
                }
                (None, None) => return Spot { branch: at, place: 0 },
            }
        }
    }

    /// How much of a branch belongs to a state.
    pub(crate) fn part_of(&self, branch: BranchId, state: Spot) -> Option<u64> {
        let mut at = state;
        while at.branch != branch {
            let fork = self.branches[at.branch.0].parent?;
            at = Spot { branch: fork.branch, place: at.place.min(fork.place) };
        }
        Some(at.place)
    }

    /// Whether a state shows all up to a spot.
    pub(crate) fn shows(&self, state: Spot, wanted: Spot) -> bool {
        self.part_of(wanted.branch, state).is_some_and(|place| wanted.place <= place)
    }

    /// Whether a spot lies in the history of a branch, as far as that goes at any time.
    pub(crate) fn is_kept_by(&self, branch: BranchId, spot: Spot) -> bool {
        self.shows(Spot { branch, place: u64::MAX }, spot)
    }

    /// What of a state a branch has kept.
    pub(crate) fn kept_by(&self, branch: BranchId, state: Spot) -> Spot {
        let mut at = state;
        loop {
            if let Some(place) = self.part_of(at.branch, Spot { branch, place: u64::MAX }) {
                return Spot { branch: at.branch, place: at.place.min(place) };
            }
            match self.branches[at.branch.0].parent {
                Some(fork) => at = Spot { branch: fork.branch, place: at.place.min(fork.place) },
                None => return Spot { branch, place: 0 },
            }
        }
    }
}

/// A place that only grows, over time.
#[derive(Debug)]
struct Steps(VecDeque<(Duration, u64)>);

impl Steps {
    /// What lies further back is not asked for.
    const KEEP: Duration = Duration::from_secs(300);

    fn reach(&mut self, place: u64, now: Duration) {
        if place <= self.last() {
            return;
        }
        self.0.push_back((now, place));
        while self.0.get(1).is_some_and(|(at, _)| *at + Self::KEEP < now) {
            self.0.pop_front();
        }
    }

    fn last(&self) -> u64 {
        self.0.back().map_or(0, |(_, place)| *place)
    }

    fn as_of(&self, time: Duration) -> Option<u64> {
        // Mostly it is one of the last.
        let mut later = self.0.len();
        for _ in 0..4 {
            match later.checked_sub(1).map(|index| self.0[index]) {
                Some((at, place)) if at <= time => return Some(place),
                Some(_) => later -= 1,
                None => return None,
            }
        }
        let later = self.0.partition_point(|(at, _)| *at <= time);
        later.checked_sub(1).map(|index| self.0[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Two writes, a fork behind the first, and one more write on either side.
    fn forked() -> (Logs, BranchId, BranchId) {
        let (mut logs, old) = Logs::new();
        let first = logs.append(old, 10, s(1));
        logs.append(old, 10, s(2));
        let new = logs.fork(Spot { branch: old, place: first }, Owner::Cluster, s(3));
        logs.append(new, 5, s(4));
        logs.append(old, 10, s(5));
        (logs, old, new)
    }

    #[test]
    fn a_state_shows_what_lies_before_its_fork_and_nothing_behind() {
        let (logs, old, new) = forked();
        let spot = |branch, place| Spot { branch, place };
        assert!(logs.shows(spot(new, 1015), spot(old, 1010)));
        assert!(!logs.shows(spot(new, 1015), spot(old, 1011)));
        assert!(!logs.shows(spot(new, 1005), spot(old, 1010)), "it has not come to the fork");
        assert!(!logs.shows(spot(old, 1030), spot(new, 1015)));
        assert!(!logs.is_kept_by(new, spot(old, 1020)));
        assert_eq!(logs.kept_by(new, spot(old, 1020)), spot(old, 1010));
        assert_eq!(logs.kept_by(old, spot(new, 1015)), spot(old, 1010));
    }

    #[test]
    fn a_log_is_as_long_as_it_was() {
        let (logs, old, new) = forked();
        let at = [0, 1, 2, 3, 4].map(|second| logs.written_as_of(new, s(second)));
        assert_eq!(at, [1000, 1010, 1010, 1010, 1015]);
        assert_eq!(logs.written_as_of(old, s(9)), 1030);
    }
}
