//! How long a node that refuses to answer is left alone.

use std::time::Duration;

/// Whoever looks for a node that can serve a statement has all of them asked. Where a server is starting, or has no connection left, that must not
/// become a storm of connections from all processes: the pause doubles with each refusal, and a part of it that chance chooses is left out
/// ("full jitter", as in the AWS Architecture Blog's "Exponential Backoff and Jitter", above a floor). So the last of them is hardly longer than
/// it has been refusing.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    refusals: u32,
}

impl Backoff {
    /// How long to wait behind this probe, between `floor` and `longest`.
    pub(super) fn behind(&mut self, is_refused: bool, floor: Duration, longest: Duration) -> Duration {
        if !is_refused {
            self.refusals = 0;
            return floor;
        }
        let most = floor.saturating_mul(2_u32.saturating_pow(self.refusals)).min(longest);
        self.refusals = self.refusals.saturating_add(1);
        floor + most.saturating_sub(floor).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_millis(400);

    #[test]
    fn the_pause_doubles_to_a_limit_and_begins_anew_behind_an_answer() {
        let (mut longest_seen, mut shortest_seen) = ([Duration::ZERO; 8], [LONGEST; 8]);
        for _ in 0..2000 {
            let mut backoff = Backoff::default();
            for index in 0..8 {
                let pause = backoff.behind(true, FLOOR, LONGEST);
                longest_seen[index] = longest_seen[index].max(pause);
                shortest_seen[index] = shortest_seen[index].min(pause);
            }
            assert_eq!(backoff.behind(false, FLOOR, LONGEST), FLOOR);
            assert_eq!(
                backoff.behind(true, FLOOR, LONGEST),
                FLOOR,
                "behind the first it looks again at once"
            );
        }
        for (index, most) in [20, 40, 80, 160, 320, 400, 400, 400].into_iter().enumerate() {
            let most = Duration::from_millis(most);
            // Of two thousand draws one comes near each end.
            assert!(
                longest_seen[index] <= most && longest_seen[index] >= most.mul_f64(0.95),
                "{longest_seen:?}"
            );
            assert!(
                shortest_seen[index] >= FLOOR && shortest_seen[index] <= FLOOR + most.mul_f64(0.05),
                "{shortest_seen:?}"
            );
        }
    }

    #[test]
    fn many_refusals_and_a_short_limit_do_no_harm() {
        let mut backoff = Backoff { refusals: u32::MAX };
        assert!(backoff.behind(true, FLOOR, LONGEST) <= LONGEST);
        assert_eq!(backoff.behind(true, FLOOR, Duration::ZERO), FLOOR);
    }
}
