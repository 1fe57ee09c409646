//! Connections are opened for those who want them still, and what is counted and told is what happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::future::{Future, pending, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_util::poll;
use millpond_pool::{
    AcquireError, Builder, CloseReason, ConnectError, Lease, Manager, Pool, Returned, Severity,
};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

/// A login takes 100 ms.
#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    connects: AtomicUsize,
    fails: AtomicBool,
    severity: Severity,
    panics_at_once: AtomicBool,
    resets_never: AtomicBool,
}

impl Server {
    fn with(severity: Severity) -> Self {
        Self(Arc::new(Inner {
            connects: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            severity,
            panics_at_once: AtomicBool::new(false),
            resets_never: AtomicBool::new(false),
        }))
    }

    fn new() -> Self {
        Self::with(Severity::Transient)
    }

    fn builder(&self) -> Builder<Self> {
        Pool::builder(self.clone()).seed(1)
    }

    fn connects(&self) -> usize {
        self.0.connects.load(Ordering::SeqCst)
    }

    fn fail(&self) {
        self.0.fails.store(true, Ordering::SeqCst);
    }

    fn tend(&self) -> impl Future<Output = Result<(), No>> + Send + use<> {
        assert!(!self.0.panics_at_once.load(Ordering::SeqCst), "before there is a future");
        ready(Ok(()))
    }
}

impl Manager for Server {
    type Connection = ();
    type Error = No;

    async fn connect(&self) -> Result<(), No> {
        self.0.connects.fetch_add(1, Ordering::SeqCst);
        sleep(100 * MS).await;
        if self.0.fails.load(Ordering::SeqCst) { Err(No) } else { Ok(()) }
    }

    fn is_open(&self, (): &()) -> bool {
        true
    }

    fn check(&self, (): &mut ()) -> impl Future<Output = Result<(), No>> + Send {
        self.tend()
    }

    fn returned(&self, (): &mut ()) -> Returned {
        let soils = [&self.0.panics_at_once, &self.0.resets_never];
        if soils.iter().any(|soil| soil.load(Ordering::SeqCst)) { Returned::Soiled } else { Returned::Clean }
    }

    fn reset(&self, (): &mut ()) -> impl Future<Output = Result<(), No>> + Send {
        let (tended, never) = (self.tend(), self.0.resets_never.load(Ordering::SeqCst));
        async move { if never { pending().await } else { tended.await } }
    }

    fn severity(&self, _: &No) -> Severity {
        self.0.severity
    }
}

/// The connection rests where another thread finds it again.
fn drop_elsewhere(lease: Lease<Server>) {
    thread::spawn(move || drop(lease)).join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_rests_too_little_behind_an_eviction_is_opened_at_once() {
    let server = Server::new();
    let pool = server.builder().max_size(8).min_idle(2).build().unwrap();
    let _held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    sleep(60 * SECOND).await;
    assert_eq!(pool.status().idle, 2);
    pool.evict();
    sleep(150 * MS).await;
    assert_eq!(pool.status().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn none_is_opened_for_one_that_a_thread_has_at_hand() {
    let server = Server::new();
    let pool = server.builder().max_size(2).min_idle(1).build().unwrap();
    let (kept, closed) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    sleep(5 * SECOND).await;
    drop(kept);
    closed.close();
    sleep(SECOND).await;
    assert_eq!((pool.status().idle, server.connects()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_has_not_begun_heeds_what_changed_meanwhile() {
    // The pool was made smaller.
    let server = Server::new();
    let pool = server.builder().max_size(2).min_idle(2).build().unwrap();
    sleep(SECOND).await;
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    sleep(5 * SECOND).await;
    pool.resize(4).unwrap();
    pool.resize(2).unwrap();
    sleep(SECOND).await;
    assert_eq!(server.connects(), 2);
    drop(held);
    // Older ones were retired: it is none of them.
    let server = Server::new();
    let pool = server.builder().max_size(1).build().unwrap();
    let mut asks = Box::pin(pool.acquire());
    assert!(poll!(asks.as_mut()).is_pending());
    pool.evict();
    drop(asks.await.unwrap());
    assert_eq!((server.connects(), pool.snapshot().counters.closed(CloseReason::Evicted)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_try_is_made_only_while_it_is_wanted() {
    let server = Server::with(Severity::Refreshable);
    server.fail();
    let pool = server.builder().build().unwrap();
    assert!(timeout(50 * MS, pool.acquire()).await.is_err());
    sleep(SECOND).await;
    assert_eq!(server.connects(), 1, "nobody waits any more");
    let server = Server::with(Severity::Refreshable);
    server.fail();
    let pool = server.builder().build().unwrap();
    let asks = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.is_err() }
    });
    sleep(50 * MS).await;
    assert!(pool.close(Instant::now() + SECOND).await);
    assert!(asks.await.unwrap());
    assert_eq!(server.connects(), 1, "the pool is closed");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_told_at_once_in_any_case() {
    let server = Server::with(Severity::Permanent);
    server.fail();
    let pool = server.builder().fail_fast(false).backoff(60 * SECOND, 60 * SECOND).build().unwrap();
    assert!(
        matches!(pool.acquire().await.err(), Some(AcquireError::Connect(cause)) if matches!(*cause, ConnectError::Failed(No)))
    );
    let begun = Instant::now();
    assert!(matches!(pool.acquire().await.err(), Some(AcquireError::Down { .. })));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_panics_before_it_gives_a_future_is_told_of() {
    let server = Server::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let listener = move |event: &millpond_pool::Event<'_>| noted.lock().unwrap().push(event.to_string());
    let pool = server.builder().max_size(1).check_after(Some(SECOND)).on_event(listener).build().unwrap();
    let lease = pool.acquire().await.unwrap();
    server.0.panics_at_once.store(true, Ordering::SeqCst);
    drop(lease);
    sleep(SECOND).await;
    server.0.panics_at_once.store(false, Ordering::SeqCst);
    drop(pool.acquire().await.unwrap());
    sleep(5 * SECOND).await;
    server.0.panics_at_once.store(true, Ordering::SeqCst);
    pool.acquire().await.unwrap().close();
    let told = told.lock().unwrap();
    assert!(told.iter().any(|told| told.contains("made clean") && told.contains("panicked")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("check") && told.contains("panicked")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_told_as_opened_before_it_is_told_as_closed() {
    let server = Server::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let listener = move |event: &millpond_pool::Event<'_>| noted.lock().unwrap().push(event.to_string());
    let pool = server.builder().max_size(1).on_event(listener).build().unwrap();
    let mut asks = Box::pin(pool.acquire());
    assert!(poll!(asks.as_mut()).is_pending());
    sleep(50 * MS).await;
    pool.evict();
    drop(asks.await.unwrap());
    let told = told.lock().unwrap();
    assert!(told[0].contains("opened") && told[1].contains("closed"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_served_at_once_is_counted_as_neither_waiting_nor_refused() {
    let server = Server::with(Severity::Permanent);
    let pool = server.builder().max_size(1).max_waiting(Some(0)).build().unwrap();
    drop_elsewhere(pool.acquire().await.unwrap());
    let before = pool.snapshot().counters;
    for _ in 0..10 {
        let lease = pool.acquire().await.unwrap();
        drop_elsewhere(lease);
    }
    let counters = pool.snapshot().counters;
    assert_eq!((counters.queue_full, counters.waited - before.waited), (0, 0));
    assert_eq!((counters.handed_off - before.handed_off, counters.acquired - before.acquired), (0, 10));
    // One that is refused is counted once.
    let held = pool.acquire().await.unwrap();
    assert!(matches!(pool.acquire().await.err(), Some(AcquireError::QueueFull { .. })));
    assert_eq!(pool.snapshot().counters.queue_full, 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn who_is_served_though_the_server_is_down_is_not_counted_as_refused() {
    let server = Server::with(Severity::Permanent);
    let pool = server.builder().max_size(2).backoff(60 * SECOND, 60 * SECOND).build().unwrap();
    let lease = pool.acquire().await.unwrap();
    server.fail();
    assert!(pool.acquire().await.is_err());
    let before = pool.snapshot().counters.failed_fast;
    drop_elsewhere(lease);
    let lease = pool.acquire().await.unwrap();
    assert_eq!(pool.snapshot().counters.failed_fast, before);
    assert!(pool.acquire().await.is_err());
    assert_eq!(pool.snapshot().counters.failed_fast, before + 1);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_with_what_it_was_handed_is_counted_as_having_left() {
    let server = Server::new();
    let pool = server.builder().max_size(1).build().unwrap();
    let lease = pool.acquire().await.unwrap();
    let before = pool.snapshot().counters;
    {
        let mut leaves = pin!(pool.acquire());
        assert!(poll!(leaves.as_mut()).is_pending());
        drop(lease);
    }
    let counters = pool.snapshot().counters;
    assert_eq!((counters.cancelled - before.cancelled, counters.acquired - before.acquired), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn every_generation_can_be_retired() {
    let server = Server::new();
    let pool = server.builder().build().unwrap();
    for generation in [1, (1 << 63) + 1, (1 << 63) + 2, u64::MAX - 1] {
        let lease = pool.acquire().await.unwrap();
        pool.evict_before(generation);
        assert!(lease.is_evicted(), "{generation}");
        drop(lease);
        assert_eq!(pool.acquire().await.unwrap().generation(), generation);
    }
}

/// Panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("what it panicked with panics too");
    }
}

struct Explodes;

impl Manager for Explodes {
    type Connection = ();
    type Error = No;

    async fn connect(&self) -> Result<(), No> {
        Ok(())
    }

    fn is_open(&self, (): &()) -> bool {
        true
    }

    async fn check(&self, (): &mut ()) -> Result<(), No> {
        Ok(())
    }

    fn returned(&self, (): &mut ()) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, (): &mut ()) -> Result<(), No> {
        Ok(())
    }

    fn closing(&self, (): &mut ()) {
        std::panic::panic_any(Bomb);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_panics_again_costs_its_connection_and_nothing_else() {
    let pool = Pool::builder(Explodes).max_size(1).build().unwrap();
    pool.acquire().await.unwrap().close();
    assert_eq!(pool.status().size, 0);
    drop(pool.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_a_closing_pool_gives_up_is_told_as_closed() {
    let server = Server::new();
    let pool = server.builder().max_size(1).build().unwrap();
    server.0.resets_never.store(true, Ordering::SeqCst);
    drop(pool.acquire().await.unwrap());
    pool.close(Instant::now() + 50 * MS).await;
    sleep(MS).await;
    let counters = pool.snapshot().counters;
    assert_eq!((counters.closed(CloseReason::Closed), counters.closed(CloseReason::ResetFailed)), (1, 0));
}
