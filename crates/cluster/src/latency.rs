use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per doubling of the latency: a quantile is at most 19 % too high.
const PER_OCTAVE: u32 = 4;
/// From a microsecond to some 16 s; what is slower counts as that.
const BUCKETS: usize = 24 * PER_OCTAVE as usize;

/// Counts of latencies, in buckets that grow by the fourth root of two from 1 µs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BUCKETS],
}

impl Latencies {
    /// The latency that the share `q` (0 to 1) of the statements did not exceed; `None` when there were none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share"
    )]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.filter(|_| total > 0).map(upper_end)
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        counts
            .iter_mut()
            .zip(&earlier.counts)
            .for_each(|(count, before)| *count = count.saturating_sub(*before));
        Self { counts }
    }

    /// The counts of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut counts = self.counts;
        counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        Self { counts }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

/// [`Latencies`] that every statement adds to.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: [AtomicU64; BUCKETS],
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub(crate) fn record(&self, latency: Duration) {
        self.counts[bucket(latency)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Latencies {
        Latencies { counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)) }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bucket's number, bounded below"
)]
fn bucket(latency: Duration) -> usize {
    let octaves = (latency.as_secs_f64() * 1e6).max(1.0).log2();
    ((octaves * f64::from(PER_OCTAVE)) as usize).min(BUCKETS - 1)
}

#[expect(clippy::cast_precision_loss, reason = "a bucket's number")]
fn upper_end(bucket: usize) -> Duration {
    Duration::from_secs_f64(((bucket as f64 + 1.0) / f64::from(PER_OCTAVE)).exp2() * 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_fifth_too_high_and_never_too_low() {
        let recorder = Recorder::new();
        for micros in 1..=1000 {
            recorder.record(Duration::from_micros(micros));
        }
        let latencies = recorder.read();
        for (q, exact) in [(0.01, 10.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let told = latencies.quantile(q).unwrap().as_secs_f64() * 1e6;
            assert!(told >= exact && told <= exact * 1.2, "{q}: {told} for {exact}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_buckets() {
        let recorder = Recorder::new();
        assert_eq!(recorder.read().quantile(0.5), None);
        recorder.record(Duration::ZERO);
        let before = recorder.read();
        recorder.record(Duration::from_secs(3600));
        assert!(recorder.read().since(&before).quantile(0.5).unwrap() > Duration::from_secs(10));
        assert_eq!(recorder.read().since(&before).and(&before), recorder.read());
    }
}
