//! How often a node is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::Backend;
use crate::cluster::Shared;

/// How long nothing must have been asked of the cluster until its nodes are asked less often.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// How often at least while callers wait for a node that may run their statements: they do not nudge again and again, being many.
const WHILE_AWAITED: Duration = Duration::from_millis(100);

/// Probes come as often as set while the cluster is in use, and twice as seldom each time while it is not: a process that does nothing must not
/// keep servers busy. The first read behind a rest finds its replica too old, goes to the primary, and has all asked.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many statements there had been at the last look, and since when that many.
    statements: u64,
    quiet_since: Option<Instant>,
    interval: Duration,
}

impl Pace {
    /// Until the next probe is due.
    pub(super) fn next<B: Backend>(&mut self, shared: &Shared<B>) -> Duration {
        let view = shared.view.load();
        let (mut statements, mut is_in_use) = (0, false);
        for node in shared.members(&view) {
            let (reads, others) = node.counts();
            statements += reads + others;
            is_in_use |= node.is_in_use();
        }
        let usual = shared.probe_interval();
        if shared.waiting_for_node.load(Ordering::Relaxed) > 0 {
            return usual.min(WHILE_AWAITED);
        }
        self.after(statements, is_in_use, usual, shared.config.idle_probe_interval)
    }

    fn after(&mut self, statements: u64, is_in_use: bool, usual: Duration, longest: Duration) -> Duration {
        let now = Instant::now();
        if is_in_use || self.statements != statements {
            *self = Self { statements, quiet_since: Some(now), interval: usual };
            return usual;
        }
        let quiet_since = *self.quiet_since.get_or_insert(now);
        let is_idle = now.saturating_duration_since(quiet_since) >= IDLE_AFTER;
        let interval = if is_idle { (2 * self.interval).min(longest) } else { usual };
        self.interval = interval.max(usual);
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn probes_come_less_often_while_nothing_happens_and_as_set_when_something_does() {
        let (usual, longest) = (Duration::from_millis(200), Duration::from_secs(1));
        let mut pace = Pace::default();
        let mut after = |statements, is_in_use| pace.after(statements, is_in_use, usual, longest);
        assert_eq!([after(0, false), after(1, false)], [usual; 2]);
        advance(IDLE_AFTER / 2).await;
        assert_eq!(after(1, false), usual);
        advance(IDLE_AFTER / 2).await;
        let intervals = [after(1, false), after(1, false), after(1, false), after(1, false)];
        assert_eq!(intervals.map(|interval| interval.as_millis()), [400, 800, 1000, 1000]);
        assert_eq!(after(2, false), usual, "a statement was run");
        advance(IDLE_AFTER).await;
        assert_eq!([after(2, false), after(2, true)], [2 * usual, usual], "one is running");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_interval_is_never_below_the_usual_one() {
        let mut pace = Pace::default();
        let second = Duration::from_secs(1);
        pace.after(0, false, second, second / 2);
        advance(IDLE_AFTER).await;
        assert_eq!(pace.after(0, false, second, second / 2), second);
    }
}
