use std::time::{Duration, Instant};

use crate::{NodeId, NodeSet};

/// How busy a node is: what choosing compares. Lower is better.
///
/// load = peak-EWMA latency × (in flight + 1) ÷ weight, as in Finagle's and Linkerd's balancers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Load(f64);

impl Load {
    /// That of a node which can do so many times as much as one of weight 1.
    #[must_use]
    pub fn over(self, weight: f64) -> Self {
        // A division takes longer than all the rest, and mostly all weigh the same.
        if weight == 1.0 { self } else { Self(self.0 / weight) }
    }
}

/// A moving average of latency that jumps up at once and comes down slowly.
///
/// A slower answer than the average replaces it; a faster one moves it by the share `1 − e^(−Δt/τ)`, τ being
/// [`PeakEwma::DECAY`]. A failure counts as [`PeakEwma::PENALTY`], so that a node that fails fast does not look fast.
#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    seconds: f64,
    updated: Instant,
}

impl PeakEwma {
    /// τ of the average: an old peak counts a third after so long. Short, since one slow answer to a cold node must not
    /// keep its share of the reads low for long; what is out of service is kept away by its health, not by this.
    pub const DECAY: Duration = Duration::from_secs(2);

    /// What a failure counts as.
    pub const PENALTY: Duration = Duration::from_secs(1);

    /// What a node that was never asked counts as: a fast one, so that it is tried.
    pub const UNKNOWN: Duration = Duration::from_micros(500);

    /// An average of nothing yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { seconds: Self::UNKNOWN.as_secs_f64(), updated: now }
    }

    /// The average after one more answer, all in seconds, for who keeps it apart: it was taken so many nanoseconds ago.
    #[must_use]
    pub fn after(average: f64, latency: f64, nanos_ago: u64) -> f64 {
        if latency >= average { latency } else { latency + (average - latency) * weight(nanos_ago) }
    }

    /// The load of a node with so many statements in flight, by an average in seconds that was taken so many nanoseconds ago.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of statements in flight are far below 2^52")]
    pub fn load_of(average: f64, in_flight: usize, nanos_ago: u64) -> Load {
        Load(average * weight(nanos_ago) * (in_flight as f64 + 1.0))
    }

    /// Takes the latency of an answer.
    pub fn observe(&mut self, latency: Duration, now: Instant) {
        self.seconds = Self::after(self.seconds, latency.as_secs_f64(), self.nanos_ago(now));
        self.updated = now;
    }

    /// Takes a failure.
    pub fn penalise(&mut self, now: Instant) {
        self.observe(Self::PENALTY, now);
    }

    /// The load of a node with this average and so many statements in flight. Without answers an old peak fades, so
    /// that a node is tried again.
    #[must_use]
    pub fn load(&self, in_flight: usize, now: Instant) -> Load {
        Self::load_of(self.seconds, in_flight, self.nanos_ago(now))
    }

    fn nanos_ago(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.updated);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What an average of then counts now.
#[expect(clippy::cast_precision_loss, reason = "a millionth of a nanosecond is of no weight")]
fn weight(nanos_ago: u64) -> f64 {
    const PER_NANO: f64 = 1e-9 / PeakEwma::DECAY.as_secs() as f64;
    decay(nanos_ago as f64 * PER_NANO)
}

/// e^−x, right to 0.1 %. Every choice takes it twice, mostly of a small `x`: there by the first terms of its series.
fn decay(x: f64) -> f64 {
    if x < 0.001 {
        1.0
    } else if x < 0.5 {
        1.0 - x * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0)))
    } else {
        (-x).exp()
    }
}

/// How long a node that begins to serve, or to serve again, gets less than its share: a server that was just started has nothing in its
/// caches.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// The part of the choices in which a node is looked at like any other so long after it began: a tenth at first, all after [`SLOW_START`].
fn share_after(serving_for: Duration) -> f64 {
    let passed = serving_for.as_secs_f64() / SLOW_START.as_secs_f64();
    passed.clamp(0.1, 1.0)
}

/// Of nodes that began to serve then, those that are avoided in this choice.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub(crate) fn eased(starts: &[(Instant, NodeId)], now: Instant, seed: u64) -> NodeSet {
    // Not the numbers that the plan with this seed takes.
    let mut random = SplitMix64(!seed);
    let mut eased = NodeSet::EMPTY;
    for (since, node) in starts {
        let drawn = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn >= share_after(now.saturating_duration_since(*since)) {
            eased.insert(*node);
        }
    }
    eased
}

/// The nodes that may serve a request, best first. Lazy: each step looks at the loads of that moment.
///
/// A step takes two of the eligible nodes at random and the less loaded of the two (power of two choices,
/// Mitzenmacher 2001); when none is left comes the fallback. The same seed and loads give the same order.
#[derive(Clone, Debug)]
pub struct Plan {
    eligible: NodeSet,
    /// Those that come before all others, eligible or not.
    preferred: NodeSet,
    /// Those that come behind all others.
    avoided: NodeSet,
    fallback: Option<NodeId>,
    random: SplitMix64,
}

impl Plan {
    /// A plan over `eligible`, then `fallback`.
    #[must_use]
    pub const fn new(eligible: NodeSet, fallback: Option<NodeId>, seed: u64) -> Self {
        let (preferred, avoided) = (NodeSet::EMPTY, NodeSet::EMPTY);
        Self { eligible, preferred, avoided, fallback, random: SplitMix64(seed) }
    }

    /// The same plan, with these before all others, as far as they are eligible.
    #[must_use]
    pub const fn preferring(self, preferred: NodeSet) -> Self {
        Self { preferred, ..self }
    }

    /// The same plan, with these behind all others, before the fallback.
    #[must_use]
    pub const fn avoiding(self, avoided: NodeSet) -> Self {
        Self { avoided, ..self }
    }

    /// The next node to try.
    #[must_use]
    #[inline(always)]
    pub fn next(&mut self, load: impl Fn(NodeId) -> Load) -> Option<NodeId> {
        let well = self.eligible.difference(self.avoided);
        let eligible = if well.is_empty() { self.eligible } else { well };
        let preferred = eligible.intersection(self.preferred);
        let candidates = if preferred.is_empty() { eligible } else { preferred };
        let Some((first, second)) = self.two_of(candidates) else {
            return self.fallback.take();
        };
        let chosen = if first != second && load(second) < load(first) { second } else { first };
        self.eligible.remove(chosen);
        Some(chosen)
    }

    /// The nodes that would be tried, in no order.
    #[must_use]
    pub fn nodes(&self) -> NodeSet {
        let mut nodes = self.eligible;
        self.fallback.into_iter().for_each(|node| nodes.insert(node));
        nodes
    }

    /// Two of them at random, in random order; the only one twice.
    #[inline]
    fn two_of(&mut self, nodes: NodeSet) -> Option<(NodeId, NodeId)> {
        let (lowest, highest) = (nodes.lowest()?, nodes.highest()?);
        let mut others = nodes;
        others.remove(lowest);
        others.remove(highest);
        if others.is_empty() {
            // One or two, as mostly: nothing to count, and no branch on what is random.
            let is_turned = self.random.next() & 1 == 0;
            return Some(if is_turned { (highest, lowest) } else { (lowest, highest) });
        }
        let count = nodes.len();
        let first = nodes.nth(self.random.below(count))?;
        others = nodes;
        others.remove(first);
        Some((first, others.nth(self.random.below(count - 1))?))
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough to spread choices, and this crate builds no random source.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// By a multiplication, as a division takes several times as long (Lemire 2019, without the correction of a bias that is beyond
    /// counting here).
    fn below(&mut self, bound: usize) -> usize {
        let scaled = u128::from(self.next()) * bound as u128;
        usize::try_from(scaled >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> NodeSet {
        (0..n).filter_map(NodeId::new).collect()
    }

    #[test]
    fn a_plan_names_every_node_once_and_the_fallback_last() {
        let fallback = NodeId::new(9).unwrap();
        for seed in 0..50 {
            let mut plan = Plan::new(nodes(3), Some(fallback), seed);
            let order: Vec<_> = std::iter::from_fn(|| plan.next(|_| Load(1.0))).collect();
            assert_eq!(order.len(), 4);
            assert_eq!(order[3], fallback);
            assert_eq!(order[..3].iter().copied().collect::<NodeSet>(), nodes(3));
        }
    }

    #[test]
    fn of_two_nodes_the_less_loaded_is_always_first() {
        let busy = NodeId::new(0).unwrap();
        for seed in 0..50 {
            let first =
                Plan::new(nodes(2), None, seed).next(|node| Load(if node == busy { 2.0 } else { 1.0 }));
            assert_eq!(first, NodeId::new(1));
        }
    }

    #[test]
    fn equal_nodes_are_chosen_about_equally_often_whether_few_or_many() {
        for count in [1_u32, 2, 3, 4, 64] {
            let mut chosen = vec![0_u32; count as usize];
            for seed in 0..1000 * u64::from(count) {
                let node = Plan::new(nodes(count as usize), None, seed).next(|_| Load(1.0));
                chosen[node.unwrap().index()] += 1;
            }
            assert!(chosen.iter().all(|chosen| (850..1150).contains(chosen)), "{count}: {chosen:?}");
        }
    }

    #[test]
    fn preferred_nodes_come_before_all_others_however_busy() {
        let (near, absent) = (NodeId::new(1).unwrap(), NodeId::new(7).unwrap());
        let preferred = [near, absent].into_iter().collect();
        for seed in 0..50 {
            let mut plan = Plan::new(nodes(3), None, seed).preferring(preferred);
            let order: Vec<_> =
                std::iter::from_fn(|| plan.next(|node| Load(if node == near { 9.0 } else { 1.0 }))).collect();
            assert_eq!((order.len(), order[0]), (3, near));
        }
    }

    #[test]
    fn avoided_nodes_come_behind_all_others_however_idle_and_near() {
        let (slow, fallback) = (NodeId::new(1).unwrap(), NodeId::new(9).unwrap());
        let of_slow: NodeSet = [slow].into_iter().collect();
        for seed in 0..50 {
            let mut plan = Plan::new(nodes(3), Some(fallback), seed).preferring(of_slow).avoiding(of_slow);
            let order: Vec<_> =
                std::iter::from_fn(|| plan.next(|node| Load(if node == slow { 0.1 } else { 1.0 }))).collect();
            assert_eq!((order.len(), order[2], order[3]), (4, slow, fallback));
        }
    }

    #[test]
    fn a_node_that_comes_back_gets_its_share_little_by_little() {
        let (start, node) = (Instant::now(), NodeId::new(1).unwrap());
        let times_eased = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..1000).filter(|seed| eased(&[(start, node)], now, *seed).contains(node)).count()
        };
        for (seconds, expected) in [(0, 850..950), (1, 850..950), (5, 450..550), (10, 0..1), (60, 0..1)] {
            assert!(expected.contains(&times_eased(seconds)), "after {seconds} s: {}", times_eased(seconds));
        }
    }

    #[test]
    fn a_node_of_twice_the_weight_bears_twice_the_statements() {
        let now = Instant::now();
        let average = PeakEwma::new(now);
        assert!(average.load(2, now).over(2.0) > average.load(0, now));
        assert!(average.load(2, now).over(2.0) < average.load(1, now));
    }

    #[test]
    fn a_node_that_fails_fast_does_not_look_fast() {
        let now = Instant::now();
        let mut failing = PeakEwma::new(now);
        failing.observe(Duration::from_micros(10), now);
        failing.penalise(now);
        let mut slow = PeakEwma::new(now);
        slow.observe(Duration::from_millis(50), now);
        assert!(failing.load(0, now) > slow.load(0, now));
    }

    #[test]
    fn the_short_way_to_decay_is_right() {
        for x in [0.0, 1e-6, 0.000_999, 0.001, 0.01, 0.1, 0.3, 0.499_999, 0.5, 1.0, 10.0] {
            let exact = f64::exp(-x);
            assert!((decay(x) - exact).abs() <= 1e-3 * exact, "{x}: {} for {exact}", decay(x));
        }
    }

    #[test]
    fn a_peak_fades_without_answers() {
        let now = Instant::now();
        let mut average = PeakEwma::new(now);
        average.penalise(now);
        let later = now + 10 * PeakEwma::DECAY;
        assert!(average.load(0, later) < PeakEwma::new(later).load(0, later));
    }
}
