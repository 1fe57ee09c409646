//! Controlled delay: whether a queue stands, by the least delay that it caused in a while.

use std::time::{Duration, Instant};

/// When to turn callers away from a queue that does not get shorter; see
/// [`Builder::shedding`](crate::Builder::shedding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shedding {
    /// The delay that is fine.
    pub(crate) target: Duration,
    /// How long a queue may be longer than that.
    pub(crate) interval: Duration,
}

/// The rule of Nichols and Jacobson ("Controlling queue delay", 2012) in the form for servers of folly's `Codel`: a burst
/// empties within an interval, a standing queue does not, and then whoever waited for longer than twice the target is turned away.
#[derive(Debug)]
pub(crate) struct Codel {
    shedding: Shedding,
    /// When the interval ends whose least delay is being taken.
    ends: Instant,
    least: Duration,
    is_overloaded: bool,
}

impl Codel {
    pub(crate) const fn new(shedding: Shedding, now: Instant) -> Self {
        Self { shedding, ends: now, least: Duration::ZERO, is_overloaded: false }
    }

    /// Whether to turn away a caller that has waited for `delay` and would be served now.
    pub(crate) fn sheds(&mut self, delay: Duration, now: Instant) -> bool {
        if now >= self.ends {
            // What was long ago says nothing of a queue that stands now.
            let is_recent = now < self.ends + self.shedding.interval;
            self.is_overloaded = is_recent && self.least > self.shedding.target;
            self.ends = now + self.shedding.interval;
            self.least = delay;
        }
        self.least = self.least.min(delay);
        self.is_overloaded && delay > self.shedding.target * 2
    }

    /// Somebody was served without waiting.
    pub(crate) const fn was_empty(&mut self) {
        self.least = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_is_served_and_a_standing_queue_is_cut() {
        let start = Instant::now();
        let mut codel = Codel::new(Shedding { target: 5 * MS, interval: 100 * MS }, start);
        let mut now = start;
        // A burst: long delays at first, then none.
        for delay in (0..20).rev() {
            now += MS;
            assert!(!codel.sheds(delay * 4 * MS, now), "{delay}");
        }
        codel.was_empty();
        now += 200 * MS;
        assert!(!codel.sheds(50 * MS, now));
        // A queue that stands at 50 ms through the interval that began there.
        for _ in 0..9 {
            now += 10 * MS;
            assert!(!codel.sheds(50 * MS, now));
        }
        now += 11 * MS;
        assert!(codel.sheds(50 * MS, now));
        assert!(!codel.sheds(9 * MS, now), "who waited little is served");
        // One short delay within an interval, and at its end all is well again.
        assert!(codel.sheds(40 * MS, now + 50 * MS));
        assert!(!codel.sheds(4 * MS, now + 60 * MS));
        assert!(!codel.sheds(40 * MS, now + 101 * MS));
    }

    #[test]
    fn what_was_long_ago_says_nothing_of_now() {
        let start = Instant::now();
        let mut codel = Codel::new(Shedding { target: 5 * MS, interval: 100 * MS }, start);
        assert!(!codel.sheds(50 * MS, start));
        assert!(!codel.sheds(50 * MS, start + 60_000 * MS));
        assert!(codel.sheds(50 * MS, start + 60_100 * MS), "but what was in the last interval does");
    }
}
