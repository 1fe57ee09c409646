use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Position;

/// Where the primary was, and when: what a replica's position is compared with to tell its lag in time.
///
/// A sample `(t, q)` says that everything acknowledged before `t` lies at or before `q`. So a replica that has
/// reached `q` shows the data as of `t` or later. This needs no heartbeat table and no clock but this process's, and
/// is right on an idle primary, where every probe adds a sample at the same position.
#[derive(Clone, Debug)]
pub struct PrimaryHistory<P> {
    /// Oldest first. Both parts of a sample never decrease.
    samples: VecDeque<(Instant, P)>,
    keep: Duration,
}

impl<P: Position> PrimaryHistory<P> {
    /// Beyond this the oldest goes: a node further behind is then of unknown age, never of too low a one.
    const MOST_SAMPLES: usize = 512;

    /// A history that reaches back `keep`. A replica further behind than that is of unknown age.
    #[must_use]
    pub const fn new(keep: Duration) -> Self {
        Self { samples: VecDeque::new(), keep }
    }

    /// Takes a sample: the primary was asked at `asked` (before the question was sent) and answered `position`.
    pub fn record(&mut self, asked: Instant, position: P) {
        if let Some((last, at)) = self.samples.back() {
            if *last > asked {
                return;
            }
            if !position.covers(at) {
                // Not the history that the samples tell: nothing can be said of a replica until it is told anew.
                self.samples.clear();
            }
        }
        // A run of equal positions is told by its first and its last sample.
        if self.samples.iter().rev().take(2).filter(|(_, at)| *at == position).count() == 2 {
            self.samples.pop_back();
        }
        self.samples.push_back((asked, position));
        while self.samples.len() > 1 && self.is_surplus(asked) {
            self.samples.pop_front();
        }
    }

    fn is_surplus(&self, now: Instant) -> bool {
        let too_old = |(asked, _): &(Instant, P)| now.duration_since(*asked) > self.keep;
        self.samples.len() > Self::MOST_SAMPLES || self.samples.front().is_some_and(too_old)
    }

    /// Forgets everything: the primary, or its timeline, is another.
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    /// The time as of which a node at `position` certainly shows the data, or `None` when that is longer ago than
    /// the history reaches.
    #[must_use]
    pub fn as_of(&self, position: &P) -> Option<Instant> {
        let passed = self.samples.partition_point(|(_, sample)| position.covers(sample));
        self.samples.get(passed.checked_sub(1)?).map(|(asked, _)| *asked)
    }

    /// The same for marks that somebody raises from time to time: when a sample was taken it may have been so for long. So a node that has
    /// reached a mark shows the data as of the last sample in which the primary had not.
    #[must_use]
    pub fn as_of_mark(&self, mark: &P) -> Option<Instant> {
        let lower = self.samples.partition_point(|(_, sample)| !sample.covers(mark));
        self.samples.get(lower.checked_sub(1)?).map(|(asked, _)| *asked)
    }

    /// Before when the data as of `as_of` was passed by, as far as is known: the time of the next sample.
    #[must_use]
    pub fn next_behind(&self, as_of: Instant) -> Option<Instant> {
        let next = self.samples.partition_point(|(asked, _)| *asked <= as_of);
        self.samples.get(next).map(|(asked, _)| *asked)
    }

    /// When the oldest sample was taken.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.samples.front().map(|(asked, _)| *asked)
    }

    /// The latest sample.
    #[must_use]
    pub fn latest(&self) -> Option<(Instant, &P)> {
        self.samples.back().map(|(asked, position)| (*asked, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn seconds(start: Instant, n: u64) -> Instant {
        start + Duration::from_secs(n)
    }

    #[test]
    fn a_node_is_as_old_as_the_latest_sample_it_has_passed() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        for (second, position) in [(0, 100_u64), (1, 200), (2, 300)] {
            history.record(seconds(start, second), position);
        }
        assert_eq!(history.as_of(&300), Some(seconds(start, 2)));
        assert_eq!(history.as_of(&299), Some(seconds(start, 1)));
        assert_eq!(history.as_of(&100), Some(start));
        assert_eq!(history.as_of(&99), None);
        let next = |n| history.next_behind(seconds(start, n));
        assert_eq!([next(0), next(1), next(2)], [Some(seconds(start, 1)), Some(seconds(start, 2)), None]);
    }

    #[test]
    fn on_an_idle_primary_a_caught_up_node_stays_fresh() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        for second in 0..3600 {
            history.record(seconds(start, second), 100_u64);
        }
        assert_eq!(history.as_of(&100), Some(seconds(start, 3599)));
        assert!(history.samples.len() <= 2);
    }

    #[test]
    fn a_node_that_stopped_before_an_idle_time_ages_from_there() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        for second in 0..10 {
            history.record(seconds(start, second), 100_u64);
        }
        history.record(seconds(start, 10), 101);
        assert_eq!(history.as_of(&100), Some(seconds(start, 9)));
    }

    #[test]
    fn a_mark_is_as_old_as_the_last_sample_without_it() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        for (second, mark) in [(0, 7_u64), (1, 7), (2, 8), (3, 8), (4, 9)] {
            history.record(seconds(start, second), mark);
        }
        assert_eq!(history.as_of_mark(&10), Some(seconds(start, 4)));
        assert_eq!(history.as_of_mark(&9), Some(seconds(start, 3)));
        assert_eq!(history.as_of_mark(&8), Some(seconds(start, 1)));
        assert_eq!(history.as_of_mark(&7), None, "nobody knows since when");
    }

    #[test]
    fn what_is_older_than_the_history_is_of_unknown_age() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        for second in 0..200 {
            history.record(seconds(start, second), second);
        }
        assert_eq!(history.as_of(&100), None);
        assert_eq!(history.as_of(&150), Some(seconds(start, 150)));
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let start = Instant::now();
        let mut history = PrimaryHistory::new(KEEP);
        history.record(seconds(start, 5), 500_u64);
        history.record(seconds(start, 1), 100);
        assert_eq!(history.latest(), Some((seconds(start, 5), &500)));
    }
}
