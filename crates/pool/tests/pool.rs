//! The pool over a manager that does what the test tells it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond_pool::{AcquireError, ConnectError, Manager, Phase, Pool, Returned, Severity};
use tokio::time::Instant;

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Succeeds,
    Fails,
    FailsForGood,
    Hangs,
    Panics,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

struct Script {
    connect: Does,
    reset: Does,
    returned: Returned,
}

#[derive(Clone)]
struct Stub {
    script: Arc<Mutex<Script>>,
    opened: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

struct Connection {
    number: usize,
    alive: Arc<AtomicUsize>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn act(does: Does) -> Result<(), Refused> {
    match does {
        Does::Succeeds => Ok(()),
        Does::Fails => Err(Refused("not now")),
        Does::FailsForGood => Err(Refused("never")),
        Does::Hangs => std::future::pending().await,
        Does::Panics => panic!("as the test told it"),
    }
}

impl Manager for Stub {
    type Connection = Connection;
    type Error = Refused;

    async fn connect(&self) -> Result<Connection, Refused> {
        let does = self.script.lock().unwrap().connect;
        act(does).await?;
        self.alive.fetch_add(1, Ordering::SeqCst);
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { number, alive: Arc::clone(&self.alive) })
    }

    fn is_open(&self, _: &Connection) -> bool {
        true
    }

    fn returned(&self, _: &mut Connection) -> Returned {
        self.script.lock().unwrap().returned
    }

    async fn reset(&self, _: &mut Connection) -> Result<(), Refused> {
        let does = self.script.lock().unwrap().reset;
        act(does).await
    }

    fn severity(&self, error: &Refused) -> Severity {
        if error.0 == "never" { Severity::Permanent } else { Severity::Transient }
    }
}

impl Stub {
    fn new() -> Self {
        let script = Script { connect: Does::Succeeds, reset: Does::Succeeds, returned: Returned::Clean };
        Self { script: Arc::new(Mutex::new(script)), opened: Arc::default(), alive: Arc::default() }
    }

    fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn pool(&self, max_size: usize) -> Pool<Self> {
        Pool::builder(self.clone()).max_size(max_size).build().unwrap()
    }
}

/// Lets every other task run, and time pass, until `is_so`.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came about: {what}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_idle_connection_is_used_first() {
    let pool = Stub::new().pool(2);
    let (first, second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let newest = second.number;
    drop(first);
    drop(second);
    assert_eq!(pool.acquire().await.unwrap().number, newest);
    assert_eq!(pool.status().size, 2);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_and_a_newcomer_does_not_overtake() {
    let pool = Stub::new().pool(1);
    let held = pool.acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for place in 0..5 {
        let (shared, order) = (pool.clone(), Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let _lease = shared.acquire().await.unwrap();
            order.lock().unwrap().push(place);
            tokio::task::yield_now().await;
        }));
        until("it waits", || pool.status().waiting == place + 1).await;
    }
    drop(held);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_aborted_after_it_was_served_passes_the_connection_on() {
    let pool = Stub::new().pool(1);
    let held = pool.acquire().await.unwrap();
    let waits =
        |pool: Pool<Stub>| tokio::spawn(async move { pool.acquire().await.map(|lease| lease.number) });
    let first = waits(pool.clone());
    until("one waits", || pool.status().waiting == 1).await;
    let second = waits(pool.clone());
    until("two wait", || pool.status().waiting == 2).await;
    // Handed to the first, which is aborted before it runs again.
    drop(held);
    first.abort();
    assert_eq!(second.await.unwrap().unwrap(), 0);
    assert_eq!(pool.status().size, 1);
}

#[tokio::test(start_paused = true)]
async fn acquire_dropped_at_every_poll_leaks_nothing() {
    for polls in 0..4 {
        let stub = Stub::new();
        let pool = stub.pool(1);
        let mut acquire = Box::pin(pool.acquire());
        for _ in 0..polls {
            if futures_util::poll!(&mut acquire).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(acquire);
        let lease = pool.acquire().await.unwrap();
        assert_eq!((pool.status().size, pool.status().waiting), (1, 0), "after {polls} polls");
        assert_eq!(stub.opened.load(Ordering::SeqCst), 1, "the connect was kept, after {polls} polls");
        drop(lease);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_says_that_all_are_in_use() {
    let pool = Stub::new().pool(1);
    let _held = pool.acquire().await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Timeout { phase: Phase::Wait, .. }), "{error:?}");
    assert_eq!(pool.status().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_hangs_is_the_phase_in_the_error() {
    let stub = Stub::new();
    stub.script(|script| script.connect = Does::Hangs);
    let pool = Pool::builder(stub).connect_timeout(Duration::from_secs(60)).build().unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Timeout { phase: Phase::Connect, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn when_nobody_is_there_the_waiters_are_told_at_once_and_why() {
    let stub = Stub::new();
    stub.script(|script| script.connect = Does::Fails);
    let pool = stub.pool(4);
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Connect(cause) if cause.to_string() == "not now"), "{error:?}");
    assert_eq!(started.elapsed(), Duration::ZERO);
    stub.script(|script| script.connect = Does::Succeeds);
    until("it is tried again", || pool.status().idle == 1).await;
    drop(pool.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_is_tried_again_while_a_connection_is_out() {
    let stub = Stub::new();
    let pool = stub.pool(2);
    let held = pool.acquire().await.unwrap();
    stub.script(|script| script.connect = Does::Fails);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|lease| lease.number) }
    });
    until("it waits", || pool.status().waiting == 1).await;
    stub.script(|script| script.connect = Does::Succeeds);
    assert_eq!(waiter.await.unwrap().unwrap(), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_told_although_a_connection_is_out() {
    let stub = Stub::new();
    let pool = stub.pool(2);
    let _held = pool.acquire().await.unwrap();
    stub.script(|script| script.connect = Does::FailsForGood);
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_panics_is_contained() {
    let stub = Stub::new();
    stub.script(|script| script.connect = Does::Panics);
    let pool = stub.pool(1);
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Connect(cause) if matches!(**cause, ConnectError::Panicked)));
    stub.script(|script| script.connect = Does::Succeeds);
    until("it is tried again", || pool.status().idle == 1).await;
    drop(pool.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_soiled_connection_is_handed_out_only_after_its_reset() {
    let stub = Stub::new();
    let pool = stub.pool(1);
    stub.script(|script| script.returned = Returned::Soiled);
    drop(pool.acquire().await.unwrap());
    assert_eq!((pool.status().idle, pool.status().in_use()), (0, 1));
    assert_eq!(pool.acquire().await.unwrap().number, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_reset_fails_hangs_or_panics_is_closed_and_replaced() {
    for reset in [Does::Fails, Does::Hangs, Does::Panics] {
        let stub = Stub::new();
        let pool =
            Pool::builder(stub.clone()).max_size(1).acquire_timeout(Duration::from_secs(60)).build().unwrap();
        stub.script(|script| (script.returned, script.reset) = (Returned::Soiled, reset));
        drop(pool.acquire().await.unwrap());
        assert_eq!(pool.acquire().await.unwrap().number, 1);
        assert_eq!(stub.alive.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_makes_room_for_who_waits() {
    let stub = Stub::new();
    let pool = stub.pool(1);
    let held = pool.acquire().await.unwrap();
    stub.script(|script| script.returned = Returned::Broken);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|lease| lease.number) }
    });
    until("it waits", || pool.status().waiting == 1).await;
    drop(held);
    assert_eq!(waiter.await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn evicted_connections_are_never_handed_out_again() {
    let stub = Stub::new();
    let pool = stub.pool(2);
    let (idle, out) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);
    pool.evict();
    assert!(out.is_evicted());
    drop(out);
    assert_eq!((pool.status().size, stub.alive.load(Ordering::SeqCst)), (0, 0));
    assert_eq!(pool.acquire().await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_past_its_lifetime_is_replaced() {
    let stub = Stub::new();
    let pool = Pool::builder(stub).max_lifetime(Some(Duration::from_secs(60))).build().unwrap();
    drop(pool.acquire().await.unwrap());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(pool.acquire().await.unwrap().number, 1);
    assert_eq!(pool.status().size, 1);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_leases_until_its_deadline() {
    let pool = Stub::new().pool(2);
    let held = pool.acquire().await.unwrap();
    assert!(!pool.close(Instant::now() + Duration::from_secs(1)).await);
    assert!(matches!(pool.acquire().await, Err(AcquireError::Closed)));
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close(Instant::now() + Duration::from_secs(1)).await }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert!(closing.await.unwrap());
}

#[test]
fn a_lease_may_be_dropped_outside_a_runtime_and_after_it() {
    let stub = Stub::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (pool, outside, after) = runtime.block_on(async {
        let pool = stub.pool(2);
        let (outside, after) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        (pool, outside, after)
    });
    drop(outside);
    assert_eq!(pool.status().idle, 1);
    stub.script(|script| script.returned = Returned::Soiled);
    drop(runtime);
    drop(after);
    assert_eq!(pool.status().size, 0, "the pool ends with its runtime");
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_are_refused_by_name() {
    let refused = |builder: millpond_pool::Builder<Stub>| builder.build().unwrap_err().setting();
    assert_eq!(refused(Pool::builder(Stub::new()).max_size(0)), "max_size");
    assert_eq!(refused(Pool::builder(Stub::new()).max_connecting(0)), "max_connecting");
    assert_eq!(refused(Pool::builder(Stub::new()).acquire_timeout(Duration::ZERO)), "acquire_timeout");
}
