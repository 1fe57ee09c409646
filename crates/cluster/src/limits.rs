//! The limits that can be set while everything runs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cluster::Shared;
use crate::config::check_duration;
use crate::{Backend, Cluster, Config, Error, Purpose};

/// The limits that can be set while everything runs: see [`Cluster::change_limits`]. What each means, and its default, stands at
/// [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// [`Config::max_size`]: more connections are opened when they are wanted, and those that are too many are closed when they come back.
    pub max_size: usize,
    /// [`Config::max_waiting`]: who waits already goes on waiting.
    pub max_waiting: Option<usize>,
    /// [`Config::max_fallback_reads`].
    pub max_fallback_reads: Option<usize>,
    /// [`Config::max_lag`], for handles that did not ask for another freshness; and with it how often nodes are asked, unless that was
    /// [set](Config::probe_interval).
    pub max_lag: Duration,
    /// [`Config::acquire_timeout`].
    pub acquire_timeout: Duration,
    /// [`Config::failover_timeout`].
    pub failover_timeout: Option<Duration>,
}

impl Limits {
    pub(crate) const fn of(config: &Config) -> Self {
        Self {
            max_size: config.max_size,
            max_waiting: config.max_waiting,
            max_fallback_reads: config.max_fallback_reads,
            max_lag: config.max_lag,
            acquire_timeout: config.acquire_timeout,
            failover_timeout: config.failover_timeout,
        }
    }

    /// Refuses limits that cannot be, by name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.max_size == 0 {
            return Err(Error::config("max_size must be at least 1"));
        }
        // A wait for nothing is one that may be.
        let failover = self.failover_timeout.filter(|limit| !limit.is_zero());
        let all = [("acquire_timeout", Some(self.acquire_timeout)), ("failover_timeout", failover)];
        all.into_iter()
            .try_for_each(|(name, limit)| limit.map_or(Ok(()), |limit| check_duration(name, limit)))
    }
}

/// The limits in force, each read by itself by every statement.
#[derive(Default)]
pub(crate) struct LiveLimits {
    max_size: AtomicUsize,
    /// The highest number for none, as in the others.
    max_waiting: AtomicUsize,
    max_fallback_reads: AtomicUsize,
    max_lag: AtomicNanos,
    acquire_timeout: AtomicNanos,
    failover_timeout: AtomicNanos,
}

impl LiveLimits {
    pub(crate) fn new(limits: &Limits) -> Self {
        let live = Self::default();
        live.set(limits);
        live
    }

    fn set(&self, limits: &Limits) {
        self.max_size.store(limits.max_size, Ordering::Relaxed);
        self.max_waiting.store(limits.max_waiting.unwrap_or(usize::MAX), Ordering::Relaxed);
        self.max_fallback_reads.store(limits.max_fallback_reads.unwrap_or(usize::MAX), Ordering::Relaxed);
        self.max_lag.set(Some(limits.max_lag));
        self.acquire_timeout.set(Some(limits.acquire_timeout));
        self.failover_timeout.set(limits.failover_timeout);
    }

    /// All of them, as they are when nobody sets them meanwhile.
    fn get(&self) -> Limits {
        Limits {
            max_size: self.max_size(),
            max_waiting: self.max_waiting(),
            max_fallback_reads: self.max_fallback_reads(),
            max_lag: self.max_lag(),
            acquire_timeout: self.acquire_timeout(),
            failover_timeout: self.waits().failover(),
        }
    }

    pub(crate) fn max_size(&self) -> usize {
        self.max_size.load(Ordering::Relaxed)
    }

    pub(crate) fn max_waiting(&self) -> Option<usize> {
        Some(self.max_waiting.load(Ordering::Relaxed)).filter(|most| *most != usize::MAX)
    }

    pub(crate) fn max_fallback_reads(&self) -> Option<usize> {
        Some(self.max_fallback_reads.load(Ordering::Relaxed)).filter(|most| *most != usize::MAX)
    }

    pub(crate) fn max_lag(&self) -> Duration {
        self.max_lag.load().duration().unwrap_or(Duration::MAX)
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.waits().acquire()
    }

    /// How long a statement that begins now may wait.
    pub(crate) fn waits(&self) -> Waits {
        Waits { acquire: self.acquire_timeout.load(), failover: self.failover_timeout.load() }
    }
}

/// How long a statement may wait, as it was when it began.
#[derive(Clone, Copy)]
pub(crate) struct Waits {
    acquire: Nanos,
    failover: Nanos,
}

impl Waits {
    /// For a connection.
    pub(crate) fn acquire(self) -> Duration {
        self.acquire.duration().unwrap_or(Duration::MAX)
    }

    /// In all.
    pub(crate) fn in_all(self) -> Duration {
        self.acquire().saturating_add(self.failover().unwrap_or_default())
    }

    /// While no node may run it, where that is apart.
    pub(crate) fn failover(self) -> Option<Duration> {
        self.failover.duration()
    }
}

/// A duration, or the highest number for none. Most statements wait for nothing and have it only copied.
#[derive(Clone, Copy)]
struct Nanos(u64);

impl Nanos {
    fn of(duration: Option<Duration>) -> Self {
        let nanos = duration.and_then(|duration| u64::try_from(duration.as_nanos()).ok());
        Self(nanos.unwrap_or(u64::MAX))
    }

    fn duration(self) -> Option<Duration> {
        (self.0 != u64::MAX).then(|| Duration::from_nanos(self.0))
    }
}

#[derive(Default)]
struct AtomicNanos(AtomicU64);

impl AtomicNanos {
    fn set(&self, duration: Option<Duration>) {
        self.0.store(Nanos::of(duration).0, Ordering::Relaxed);
    }

    fn load(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }
}

impl<B: Backend> Cluster<B> {
    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits.get()
    }

    /// Sets limits anew: `change` has those in force, and what it makes of them counts from the next statement on. It is called once more
    /// when somebody else has set them meanwhile.
    ///
    /// # Errors
    ///
    /// Limits that cannot be, by name; those before stay then.
    pub fn change_limits(&self, mut change: impl FnMut(&mut Limits)) -> Result<(), Error> {
        loop {
            // Not under the lock: whose code that is may want to know how the cluster stands.
            let before = self.limits();
            let mut limits = before;
            change(&mut limits);
            limits.check()?;
            if self.shared.replace_limits(&before, &limits)? {
                return Ok(());
            }
        }
    }
}

impl<B: Backend> Shared<B> {
    /// Sets limits where those before are as they were. Says whether they are.
    fn replace_limits(&self, before: &Limits, limits: &Limits) -> Result<bool, Error> {
        // Under the lock, so that a node which is added meanwhile has the new ones too, and no other change is undone.
        let mut state = self.state();
        if self.limits.get() != *before {
            return Ok(false);
        }
        state.topology.set_max_lag(limits.max_lag);
        let view = self.view.load();
        for node in self.members(&view) {
            for pool in [Purpose::Read, Purpose::Write].map(|purpose| node.pool(purpose)) {
                pool.resize(limits.max_size).map_err(|error| Error::config(error.to_string()))?;
                pool.set_max_waiting(limits.max_waiting);
            }
        }
        self.limits.set(limits);
        self.size_retry_budget(&view);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use millpond_core::Freshness;

    use super::*;
    use crate::testing::Servers;
    use crate::{ErrorKind, NodeConfig};

    fn cluster(config: Config) -> Cluster<Servers> {
        let node = NodeConfig::new("a".into(), 1);
        Cluster::of_one(Servers::new(|_| Box::pin(pending())), node, config).unwrap()
    }

    #[tokio::test]
    async fn limits_that_cannot_be_are_refused_by_name_and_those_before_stay() {
        let cluster = cluster(Config::default());
        let before = cluster.limits();
        let refused = |change: fn(&mut Limits)| {
            let error = cluster.change_limits(change).unwrap_err();
            assert_eq!((error.kind(), cluster.limits()), (ErrorKind::Config, before));
            error.to_string()
        };
        assert!(refused(|limits| (limits.max_waiting, limits.max_size) = (Some(1), 0)).contains("max_size"));
        assert!(refused(|limits| limits.acquire_timeout = Duration::ZERO).contains("acquire_timeout"));
        assert!(refused(|limits| limits.acquire_timeout = Duration::MAX).contains("acquire_timeout"));
        assert!(refused(|limits| limits.failover_timeout = Some(Duration::MAX)).contains("failover_timeout"));
    }

    #[tokio::test]
    async fn who_changes_limits_may_look_at_the_cluster_and_is_not_undone() {
        let cluster = cluster(Config::default());
        let mut calls = 0;
        let change = |limits: &mut Limits| {
            calls += 1;
            assert_eq!(cluster.limits().max_waiting, limits.max_waiting);
            if calls == 1 {
                cluster.change_limits(|limits| limits.max_waiting = Some(9)).unwrap();
            }
            limits.max_size = 2 * cluster.status().nodes.len();
        };
        cluster.change_limits(change).unwrap();
        assert_eq!((cluster.limits().max_size, cluster.limits().max_waiting, calls), (2, Some(9), 2));
    }

    #[tokio::test]
    async fn as_many_reads_may_go_on_as_there_are_connections() {
        let cluster = cluster(Config::default());
        let retries = || (0..1000).filter(|_| cluster.shared.retry_budget.try_again()).count();
        assert_eq!(retries(), 10);
        cluster.change_limits(|limits| limits.max_size = 70).unwrap();
        assert_eq!(retries(), 60, "those that are more");
        cluster.add_node(NodeConfig::new("b".into(), 2)).unwrap();
        assert_eq!(retries(), 70);
    }

    #[tokio::test]
    async fn what_is_set_is_in_force_for_handles_that_are_there_already() {
        let cluster = cluster(Config::default());
        let (plain, session) = (cluster.handle(), cluster.handle().session());
        let own = cluster.handle().with_freshness(Freshness::Within(Duration::from_secs(9)));
        let (by_bytes, own_by_bytes) = (plain.with_distance(1), own.with_distance(1));
        let change = |limits: &mut Limits| {
            *limits = Limits {
                max_size: 3,
                max_waiting: Some(4),
                max_fallback_reads: Some(5),
                max_lag: Duration::from_secs(6),
                acquire_timeout: Duration::from_secs(7),
                failover_timeout: Some(Duration::from_secs(8)),
            }
        };
        cluster.change_limits(change).unwrap();
        let mut wanted = Limits::of(&Config::default());
        change(&mut wanted);
        assert_eq!(cluster.limits(), wanted);
        let within = |seconds| Freshness::Within(Duration::from_secs(seconds));
        let behind = |seconds| Freshness::Behind { time: Duration::from_secs(seconds), distance: 1 };
        assert_eq!([&by_bytes, &own_by_bytes].map(|handle| handle.freshness()), [behind(6), behind(9)]);
        assert_eq!(
            [&plain, &session, &own].map(|handle| handle.freshness()),
            [within(6), within(6), within(9)]
        );
        assert_eq!(plain.longest_wait(), Duration::from_secs(7 + 8));
    }

    #[tokio::test]
    async fn a_short_limit_of_age_has_nodes_asked_more_often_unless_it_is_said_how_often() {
        let cluster_of = cluster(Config::default());
        let interval = |age: u64| {
            cluster_of.change_limits(|limits| limits.max_lag = Duration::from_millis(age)).unwrap();
            cluster_of.shared.probe_interval().as_millis()
        };
        assert_eq!([1000, 5000, 800, 120, 10, 0].map(interval), [200, 200, 200, 30, 20, 20]);
        let probe_interval = Some(Duration::from_millis(300));
        let set =
            cluster(Config { probe_interval, max_lag: Duration::from_millis(120), ..Config::default() });
        assert_eq!(set.shared.probe_interval().as_millis(), 300);
    }
}
