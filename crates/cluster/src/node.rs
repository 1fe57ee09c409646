use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use millpond_core::{Load, Look, NodeId, PeakEwma};
use millpond_pool::{ConfigError, ConnectError, Lease, Manager, Pool, Returned, Severity};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::describe;
use crate::identity::Identity;
use crate::latency::{Latency, Recorder, Tick};
use crate::limits::LiveLimits;
use crate::shards::{Shard, Shards};
use crate::{Backend, Config, FailureKind, Latencies, NodeConfig, NodeKey, Purpose};

/// A connection on loan from one node's pool.
pub type NodeLease<B> = Lease<NodeManager<B>>;

/// Opens and resets the pooled connections of one node for one purpose.
pub struct NodeManager<B: Backend> {
    backend: Arc<B>,
    name: Arc<str>,
    address: Arc<B::Address>,
    purpose: Purpose,
    identity: Arc<Identity>,
    /// How long the monitor is given to say what a connection leads to.
    patience: Duration,
}

impl<B: Backend> fmt::Debug for NodeManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeManager")
            .field("name", &self.name)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Manager for NodeManager<B> {
    type Connection = B::Connection;
    type Error = B::Error;

    async fn connect(&self) -> Result<B::Connection, B::Error> {
        let begun = now();
        let connection = self.backend.connect(&self.address, self.purpose).await?;
        match self.backend.server(&connection) {
            Some(server) if !self.identity.admits(server, begun, self.purpose, self.patience).await => {
                Err(self.backend.wrong_server())
            }
            _ => Ok(connection),
        }
    }

    fn is_open(&self, connection: &B::Connection) -> bool {
        self.backend.is_open(connection)
    }

    async fn check(&self, connection: &mut B::Connection) -> Result<(), B::Error> {
        self.backend.check(connection).await
    }

    fn returned(&self, connection: &mut B::Connection) -> Returned {
        self.backend.returned(connection)
    }

    async fn reset(&self, connection: &mut B::Connection) -> Result<(), B::Error> {
        self.backend.reset(connection).await
    }

    fn severity(&self, error: &B::Error) -> Severity {
        match self.backend.failure(error).kind {
            // The password may have been changed: it is asked for with every connect.
            FailureKind::Denied => Severity::Refreshable,
            _ => Severity::Transient,
        }
    }
}

/// How long a reset may take until the connection is closed instead, and what runs on it cancelled. A statement that a raw client's user
/// gave up on runs in front of it.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// What this process keeps of one node, beside what the snapshot says.
pub(crate) struct Node<B: Backend> {
    pub(crate) id: NodeId,
    pub(crate) key: NodeKey,
    pub(crate) name: Arc<str>,
    pub(crate) address: Arc<B::Address>,
    zone: Mutex<Option<Arc<str>>>,
    /// The name that it was found by.
    pub(crate) found_as: Option<Arc<str>>,
    /// Whether its name stands for whichever server takes writes.
    pub(crate) is_endpoint: bool,
    /// The bits of a number.
    weight: AtomicU64,
    /// Ends its monitor.
    monitor: OnceLock<AbortHandle>,
    /// Whether it was taken out and what runs on it is given up.
    is_cut_off: AtomicBool,
    /// Read-only connections, for when it is a replica.
    read: Pool<NodeManager<B>>,
    /// Plain connections, for when it is the primary.
    write: Pool<NodeManager<B>>,
    /// Asks the monitor to probe now.
    pub(crate) nudged: Arc<Notify>,
    pub(crate) identity: Arc<Identity>,
    /// Whether callers wait for our connections.
    pub(crate) is_saturated: AtomicBool,
    /// When its monitor last began to ask what was answered, or failed, since.
    asked: Mutex<Option<Instant>>,
    /// What failed last in a probe.
    last_failure: Mutex<Option<Arc<str>>>,
    /// How opening connections goes.
    pub(crate) connects: Arc<Connects>,
    /// Connections that leases and transactions held when the monitor looked last, as each thread's share.
    held: AtomicUsize,
    /// Reads that have it wait for what they must show, and hold a connection meanwhile.
    waiting: AtomicUsize,
    counts: Shards<Counts>,
}

/// So long after the last failure nothing is said of opening connections any more.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// How opening connections to a node goes, as its pools tell it.
#[derive(Debug, Default)]
pub(crate) struct Connects {
    failures: AtomicU64,
    /// Why none can be opened, as it was said first since one could, and when it was said last.
    failing: Mutex<Option<(Arc<str>, Instant)>>,
}

impl Connects {
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn opened(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = failing.take().map_or_else(|| cause.into(), |(cause, _)| cause);
        *failing = Some((cause, now()));
    }

    /// Why connections cannot be opened, if they cannot. Where none was tried for a while, those that are there do, and nobody knows.
    pub(crate) fn failing(&self) -> Option<Arc<str>> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.take_if(|(_, last)| now().saturating_duration_since(*last) > FORGOTTEN);
        failing.as_ref().map(|(cause, _)| Arc::clone(cause))
    }
}

/// What the statements of one thread count.
#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    reads: AtomicU64,
    primary_statements: AtomicU64,
    latencies: Recorder,
    latency: Latency,
}

impl<B: Backend> Node<B> {
    pub(crate) fn new(
        backend: &Arc<B>,
        id: NodeId,
        key: NodeKey,
        node: NodeConfig<B::Address>,
        config: &Config,
        limits: &LiveLimits,
    ) -> Result<Self, ConfigError> {
        let NodeConfig { name, address, weight, is_endpoint, zone, found_as, .. } = node;
        let nudged = Arc::<Notify>::default();
        let identity = Arc::new(Identity::new(Arc::clone(&nudged)));
        let patience = config.probe_timeout;
        let address = Arc::new(address);
        let connects = Arc::<Connects>::default();
        let pool = |purpose| {
            let (connects, failing) = (Arc::clone(&connects), Arc::clone(backend));
            let tell = move |event: &millpond_pool::Event<'_>| match event {
                millpond_pool::Event::Opened { .. } => connects.opened(),
                millpond_pool::Event::ConnectFailed { error, .. } => {
                    connects.failed(&words::<B>(&failing, *error));
                }
                _ => {}
            };
            let (name, address, identity) = (Arc::clone(&name), Arc::clone(&address), Arc::clone(&identity));
            let backend = Arc::clone(backend);
            Pool::builder(NodeManager { backend, name, address, purpose, identity, patience })
                .max_size(limits.max_size())
                .acquire_timeout(limits.acquire_timeout())
                .connect_timeout(config.connect_timeout)
                .max_connecting(config.max_connecting)
                .max_waiting(limits.max_waiting())
                .idle_timeout(config.idle_timeout)
                .max_lifetime(config.max_lifetime)
                .check_after(config.check_after)
                .keepalive(config.keepalive)
                .reset_timeout(RESET_TIMEOUT)
                .on_event(tell)
                .build()
        };
        Ok(Self {
            id,
            key,
            read: pool(Purpose::Read)?,
            write: pool(Purpose::Write)?,
            name,
            address,
            zone: Mutex::new(zone),
            found_as,
            is_endpoint,
            weight: AtomicU64::new(weight.to_bits()),
            monitor: OnceLock::new(),
            is_cut_off: AtomicBool::new(false),
            nudged,
            identity: Arc::clone(&identity),
            is_saturated: AtomicBool::new(false),
            asked: Mutex::new(None),
            last_failure: Mutex::new(None),
            connects: Arc::clone(&connects),
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            counts: Shards::default(),
        })
    }

    pub(crate) const fn pool(&self, purpose: Purpose) -> &Pool<NodeManager<B>> {
        match purpose {
            Purpose::Read => &self.read,
            Purpose::Write | Purpose::Probe => &self.write,
        }
    }

    /// Closes the pooled connections: they were opened for another role.
    pub(crate) fn evict(&self) {
        self.read.evict();
        self.write.evict();
    }

    /// Hands out no more connections, and waits until those that are out came back or the deadline is there. Says whether all are closed.
    pub(crate) async fn close(&self, deadline: tokio::time::Instant) -> bool {
        // Both, whatever the first one says.
        self.read.close(deadline).await & self.write.close(deadline).await
    }

    pub(crate) fn watched_by(&self, monitor: AbortHandle) {
        // A node has one.
        let _ = self.monitor.set(monitor);
    }

    pub(crate) fn end_monitor(&self) {
        self.monitor.get().inspect(|monitor| monitor.abort());
    }

    /// Has what still runs on it given up.
    pub(crate) fn cut_off(&self) {
        self.is_cut_off.store(true, Ordering::Release);
        self.evict();
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Acquire)
    }

    pub(crate) fn zone(&self) -> Option<Arc<str>> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_zone(&self, zone: Option<Arc<str>>) {
        *self.zone.lock().unwrap_or_else(PoisonError::into_inner) = zone;
    }

    pub(crate) fn weight(&self) -> f64 {
        f64::from_bits(self.weight.load(Ordering::Relaxed))
    }

    pub(crate) fn set_weight(&self, weight: f64) {
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
    }

    /// Counts a statement in when the node is chosen, and out again when dropped: one that waits for a connection is a
    /// load too.
    pub(crate) fn begin(&self, shard: Shard) -> InFlight<'_, B> {
        self.counts.at(shard).in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { node: self, shard, sent: None, is_waiting: false }
    }

    /// Whether one more read may have it wait: the other half of its connections is for those that do not.
    pub(crate) fn may_wait(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.most_waiting()
    }

    fn most_waiting(&self) -> usize {
        self.read.status().max_size.div_ceil(2)
    }

    /// The load that this thread sees: what its own statements do on the node. Of two nodes at random the one that is less loaded by us is as good
    /// a choice as that which is less loaded by all, and it takes no look at what other cores write.
    #[inline(always)]
    pub(crate) fn load(&self, shard: Shard, now: Tick) -> Load {
        let own = self.counts.at(shard);
        let in_flight = own.in_flight.load(Ordering::Relaxed) + self.held.load(Ordering::Relaxed);
        own.latency.load(in_flight, now).over(self.weight())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.counts.all().map(|one| one.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Looks how many connections are held without a statement in flight, as those of leases and transactions mostly are.
    pub(crate) fn look_at_held(&self) {
        let held = |pool: &Pool<_>| pool.status().in_use() + pool.status().waiting;
        let held = (held(&self.read) + held(&self.write)).saturating_sub(self.in_flight());
        self.held.store(held / self.counts.len(), Ordering::Relaxed);
    }

    /// Whether anything runs on it, or holds or waits for a connection.
    pub(crate) fn is_in_use(&self) -> bool {
        let is_held = |pool: &Pool<_>| pool.status().in_use() + pool.status().waiting > 0;
        self.in_flight() > 0 || is_held(&self.read) || is_held(&self.write)
    }

    /// Whether callers wait though all connections are in use, and whether nobody waits.
    pub(crate) fn strain(&self) -> Look {
        let pools = [self.read.status(), self.write.status()];
        let is_full = |pool: &millpond_pool::Status| pool.waiting > 0 && pool.in_use() >= pool.max_size;
        Look::of(pools.iter().any(is_full), pools.iter().all(|pool| pool.waiting == 0))
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        let all = |count: fn(&Counts) -> &AtomicU64| {
            self.counts.all().map(|one| count(one).load(Ordering::Relaxed)).sum()
        };
        (all(|counts| &counts.reads), all(|counts| &counts.primary_statements))
    }

    pub(crate) fn latencies(&self) -> Latencies {
        self.counts.all().fold(Latencies::default(), |sum, one| sum.and(&one.latencies.read()))
    }

    pub(crate) fn penalise(&self) {
        let now = Tick::of(now());
        // Who sees a node fail does not wait for every thread to find out by itself.
        let penalty = u64::try_from(PeakEwma::PENALTY.as_nanos()).unwrap_or(u64::MAX);
        self.counts.all().for_each(|one| one.latency.observe(penalty, now));
    }

    /// Its monitor began at that time to ask it, and is done.
    pub(crate) fn was_asked_at(&self, begun: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    }

    pub(crate) fn was_asked_since(&self, time: Instant) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|asked| asked >= time)
    }

    pub(crate) fn probe_failed(&self, why: Option<Arc<str>>) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(crate) fn last_failure(&self) -> Option<Arc<str>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A statement in flight on a node.
pub(crate) struct InFlight<'a, B: Backend> {
    node: &'a Node<B>,
    /// Where it was counted in: it may end on another thread.
    shard: Shard,
    /// When it was sent, if its answer is timed.
    sent: Option<Tick>,
    /// Whether it has the node wait first.
    is_waiting: bool,
}

impl<B: Backend> InFlight<'_, B> {
    /// It has a connection. Says whether its answer is timed.
    pub(crate) fn sent(&mut self, purpose: Purpose, now: Tick) -> bool {
        let counts = self.node.counts.at(self.shard);
        let counter = if purpose == Purpose::Read { &counts.reads } else { &counts.primary_statements };
        counter.fetch_add(1, Ordering::Relaxed);
        let is_timed = counts.latency.is_due(now);
        self.sent = Some(now).filter(|_| is_timed);
        is_timed
    }

    /// It has the node wait first, where it may.
    pub(crate) fn wait(&mut self) -> bool {
        let most = self.node.most_waiting();
        let one_more = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let waiting = &self.node.waiting;
        self.is_waiting = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        self.is_waiting
    }

    /// It was answered.
    pub(crate) fn answered(&self, at: Option<tokio::time::Instant>) {
        let Some(sent) = self.sent else { return };
        let now = Tick::of(at.map_or_else(now, tokio::time::Instant::into_std));
        let elapsed = now.since(sent);
        let counts = self.node.counts.at(self.shard);
        counts.latencies.record(elapsed);
        // What it waited for says nothing of how fast the node is.
        if !self.is_waiting {
            counts.latency.observe(elapsed, now);
        }
    }
}

impl<B: Backend> Drop for InFlight<'_, B> {
    fn drop(&mut self) {
        self.node.counts.at(self.shard).in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.is_waiting {
            self.node.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What an error of opening a connection says, with what can be done about it.
fn words<B: Backend>(backend: &B, error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<ConnectError<B::Error>>() {
        Some(ConnectError::Failed(error)) => describe("connecting", error, &backend.failure(error)),
        _ => error.to_string(),
    }
}

/// When that much time is over; what lies past the end of time is far away.
pub(crate) fn in_time(patience: Duration) -> tokio::time::Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    tokio::time::Instant::now() + patience.min(FAR)
}

/// The clock of this crate: tokio's, so that tests can pause it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
