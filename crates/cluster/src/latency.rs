use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millpond_core::{Load, PeakEwma};

use crate::node::now;

/// Buckets per doubling of the latency, as a power of two: a quantile is at most an eighth too high.
const PER_OCTAVE: u32 = 3;
/// From a microsecond to some 16 s; what is slower counts as that.
const BUCKETS: usize = 24 << PER_OCTAVE;

/// How often a thread times what it sends to a node, in nanoseconds: at most five thousand times a second.
const OFTEN: u64 = 200_000;

/// Counts of latencies, in eight buckets for each doubling from 1 µs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BUCKETS],
}

impl Latencies {
    /// How many statements were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The latency that the share `q` (0 to 1) of the statements did not exceed; `None` when there were none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share"
    )]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.count();
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

/// The average that choosing goes by, without a lock. Of two threads that change it at the same time one may be in vain, and a reader
/// may see a part of each: the next answer sets it right.
#[derive(Debug)]
pub(crate) struct Latency {
    /// The bits of a number of seconds.
    seconds: AtomicU64,
    updated: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        let seconds = PeakEwma::UNKNOWN.as_secs_f64();
        Self { seconds: AtomicU64::new(seconds.to_bits()), updated: AtomicU64::new(Tick::of(now()).0) }
    }
}

impl Latency {
    #[inline]
    pub(crate) fn load(&self, in_flight: usize, now: Tick) -> Load {
        let (average, nanos_ago) = self.get(now);
        PeakEwma::load_of(average, in_flight, nanos_ago)
    }

    /// Whether another latency is wanted: who asks more often looks at the clock for nothing that choosing would notice.
    pub(crate) fn is_due(&self, now: Tick) -> bool {
        now.0.saturating_sub(self.updated.load(Ordering::Relaxed)) >= OFTEN
    }

    /// Takes a latency in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "years of nanoseconds lose one of them")]
    pub(crate) fn observe(&self, latency: u64, now: Tick) {
        let (average, nanos_ago) = self.get(now);
        let after = PeakEwma::after(average, latency as f64 * 1e-9, nanos_ago);
        self.seconds.store(after.to_bits(), Ordering::Relaxed);
        self.updated.store(now.0, Ordering::Relaxed);
    }

    fn get(&self, now: Tick) -> (f64, u64) {
        let updated = self.updated.load(Ordering::Relaxed);
        (f64::from_bits(self.seconds.load(Ordering::Relaxed)), now.0.saturating_sub(updated))
    }
}

/// A time as nanoseconds since the first one: with numbers it is reckoned several times as fast as with times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(u64);

impl Tick {
    #[inline]
    pub(crate) fn of(now: Instant) -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let since = now.saturating_duration_since(*ORIGIN.get_or_init(|| now));
        Self(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
    }

    /// In nanoseconds.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// [`Latencies`] that the statements of one thread add to.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: [AtomicU64; BUCKETS],
}

impl Default for Recorder {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Recorder {
    /// Counts a latency in nanoseconds.
    pub(crate) fn record(&self, latency: u64) {
        self.counts[bucket(latency)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Latencies {
        Latencies { counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)) }
    }
}

/// The octave, and the eighth of it.
fn bucket(latency: u64) -> usize {
    let micros = (latency / 1000).max(1);
    let octave = micros.ilog2();
    let eighth = (micros << PER_OCTAVE >> octave) & ((1 << PER_OCTAVE) - 1);
    (((octave as usize) << PER_OCTAVE) + usize::try_from(eighth).unwrap_or(0)).min(BUCKETS - 1)
}

fn upper_end(bucket: usize) -> Duration {
    let (octave, eighth) = (bucket >> PER_OCTAVE, bucket & ((1 << PER_OCTAVE) - 1));
    let octave = Duration::from_micros(1 << octave);
    octave + octave * u32::try_from(eighth + 1).unwrap_or(u32::MAX) / (1 << PER_OCTAVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_an_eighth_too_high_and_never_too_low() {
        let recorder = Recorder::default();
        for micros in 1..=1000 {
            recorder.record(micros * 1000);
        }
        let latencies = recorder.read();
        for (q, exact) in [(0.01, 10.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let told = latencies.quantile(q).unwrap().as_secs_f64() * 1e6;
            assert!(told >= exact && told <= exact.mul_add(1.125, 1.0), "{q}: {told} for {exact}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_buckets() {
        let recorder = Recorder::default();
        assert_eq!(recorder.read().quantile(0.5), None);
        recorder.record(0);
        let before = recorder.read();
        recorder.record(u64::MAX);
        assert!(recorder.read().since(&before).quantile(0.5).unwrap() > Duration::from_secs(10));
        assert_eq!(recorder.read().since(&before).and(&before), recorder.read());
    }
}
