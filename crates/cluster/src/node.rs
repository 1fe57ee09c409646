use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond_core::{Load, NodeId, PeakEwma};
use millpond_pool::{ConfigError, ConnectError, Lease, Manager, Pool, Returned, Severity};
use tokio::sync::Notify;

use crate::error::describe;
use crate::latency::Recorder;
use crate::shards::Shards;
use crate::{Backend, Config, FailureKind, Latencies, Purpose};

/// A connection on loan from one node's pool.
pub type NodeLease<B> = Lease<NodeManager<B>>;

/// Opens and resets the pooled connections of one node for one purpose.
pub struct NodeManager<B> {
    backend: Arc<B>,
    node: NodeId,
    purpose: Purpose,
}

impl<B> fmt::Debug for NodeManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeManager")
            .field("node", &self.node)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Manager for NodeManager<B> {
    type Connection = B::Connection;
    type Error = B::Error;

    async fn connect(&self) -> Result<B::Connection, B::Error> {
        self.backend.connect(self.node, self.purpose).await
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
    pub(crate) name: Arc<str>,
    /// Read-only connections, for when it is a replica.
    read: Pool<NodeManager<B>>,
    /// Plain connections, for when it is the primary.
    write: Pool<NodeManager<B>>,
    /// Asks the monitor to probe now.
    pub(crate) nudged: Notify,
    /// What failed last in a probe.
    last_failure: Mutex<Option<Arc<str>>>,
    /// How opening connections goes.
    pub(crate) connects: Arc<Connects>,
    latency: Mutex<PeakEwma>,
    /// Whether its latency decides about anything: a lone node is chosen whatever it is.
    is_chosen: bool,
    counts: Shards<Counts>,
}

/// How opening connections to a node goes, as its pools tell it.
#[derive(Debug, Default)]
pub(crate) struct Connects {
    failures: AtomicU64,
    /// What was said last, until it is told, and whether it was since the last success.
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    untold: Option<Arc<str>>,
    is_told: bool,
}

impl Connects {
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn opened(&self) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Said::default();
    }

    fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.is_told {
            said.untold = Some(cause.into());
        }
    }

    /// Why connections cannot be opened, once.
    pub(crate) fn news(&self) -> Option<Arc<str>> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.untold.take();
        said.is_told |= news.is_some();
        news
    }
}

/// What the statements of one thread count.
#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    reads: AtomicU64,
    primary_statements: AtomicU64,
    latencies: Recorder,
}

impl<B: Backend> Node<B> {
    pub(crate) fn new(
        backend: &Arc<B>,
        id: NodeId,
        name: Arc<str>,
        config: &Config,
        is_chosen: bool,
    ) -> Result<Self, ConfigError> {
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
            Pool::builder(NodeManager { backend: Arc::clone(backend), node: id, purpose })
                .max_size(config.max_size)
                .acquire_timeout(config.acquire_timeout)
                .connect_timeout(config.connect_timeout)
                .max_connecting(config.max_connecting)
                .max_waiting(config.max_waiting)
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
            name,
            read: pool(Purpose::Read)?,
            write: pool(Purpose::Write)?,
            nudged: Notify::new(),
            last_failure: Mutex::new(None),
            connects: Arc::clone(&connects),
            latency: Mutex::new(PeakEwma::new(now())),
            is_chosen,
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

    /// Counts a statement in when the node is chosen, and out again when dropped: one that waits for a connection is a
    /// load too.
    pub(crate) fn begin(&self) -> InFlight<'_, B> {
        self.counts.own().begun.fetch_add(1, Ordering::Relaxed);
        InFlight { node: self, sent: None }
    }

    pub(crate) fn load(&self, now: Instant) -> Load {
        // Leases and transactions hold connections without a statement in flight.
        let held = |pool: &Pool<_>| pool.status().in_use() + pool.status().waiting;
        let in_flight = self.in_flight().max(held(&self.read) + held(&self.write));
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).load(in_flight, now)
    }

    pub(crate) fn in_flight(&self) -> usize {
        let all = |count: fn(&Counts) -> &AtomicUsize| {
            self.counts.all().fold(0_usize, |sum, one| sum.wrapping_add(count(one).load(Ordering::Relaxed)))
        };
        // In this order: one that ends in between has begun too.
        let ended = all(|counts| &counts.ended);
        all(|counts| &counts.begun).wrapping_sub(ended)
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
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).penalise(now());
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
    sent: Option<Instant>,
}

impl<B: Backend> InFlight<'_, B> {
    /// It has a connection.
    pub(crate) fn sent(&mut self, purpose: Purpose, now: Instant) {
        let counts = self.node.counts.own();
        let counter = if purpose == Purpose::Read { &counts.reads } else { &counts.primary_statements };
        counter.fetch_add(1, Ordering::Relaxed);
        self.sent = Some(now);
    }

    /// It was answered.
    pub(crate) fn answered(&self) {
        let now = now();
        let elapsed = self.sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
        self.node.counts.own().latencies.record(elapsed);
        if !self.node.is_chosen {
            return;
        }
        self.node.latency.lock().unwrap_or_else(PoisonError::into_inner).observe(elapsed, now);
    }
}

impl<B: Backend> Drop for InFlight<'_, B> {
    fn drop(&mut self) {
        self.node.counts.own().ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What an error of opening a connection says, with what can be done about it.
fn words<B: Backend>(backend: &B, error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<ConnectError<B::Error>>() {
        Some(ConnectError::Failed(error)) => describe("connecting", error, &backend.failure(error)),
        _ => error.to_string(),
    }
}

/// The clock of this crate: tokio's, so that tests can pause it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
