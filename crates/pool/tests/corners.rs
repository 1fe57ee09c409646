//! What goes wrong in corners: late clocks, mad wakers, other runtimes, connections that die as soon as they are open.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::{FutureExt, poll};
use millpond_pool::{
    AcquireError, AcquireOptions, Builder, ConnectError, Event, Lease, Manager, Phase, Pool, Returned,
    Severity,
};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::time::{Instant, advance, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

type Step = Pin<Box<dyn Future<Output = Result<(), No>> + Send>>;
/// What happens to a connection of that number, or at a try of that number.
type Script = Box<dyn FnMut(usize) -> Step + Send>;

fn well() -> Step {
    Box::pin(ready(Ok(())))
}

fn bad() -> Step {
    Box::pin(ready(Err(No)))
}

fn never() -> Step {
    Box::pin(pending())
}

fn slow(time: Duration) -> Step {
    Box::pin(async move {
        sleep(time).await;
        Ok(())
    })
}

#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    connect: Mutex<Script>,
    check: Mutex<Script>,
    reset: Mutex<Script>,
    is_open: Mutex<Box<dyn FnMut(usize) -> bool + Send>>,
    returned: Mutex<Returned>,
    severity: Mutex<Severity>,
    tries: AtomicUsize,
    opened: AtomicUsize,
    checks: AtomicUsize,
    alive: AtomicUsize,
}

struct Connection {
    number: usize,
    server: Arc<Inner>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    fn new() -> Self {
        let well = || Mutex::new(Box::new(|_| well()) as Script);
        let zero = || AtomicUsize::new(0);
        Self(Arc::new(Inner {
            connect: well(),
            check: well(),
            reset: well(),
            is_open: Mutex::new(Box::new(|_| true)),
            returned: Mutex::new(Returned::Clean),
            severity: Mutex::new(Severity::Transient),
            tries: zero(),
            opened: zero(),
            checks: zero(),
            alive: zero(),
        }))
    }

    fn builder(&self) -> Builder<Self> {
        Pool::builder(self.clone()).seed(1)
    }

    fn connect_as(&self, script: impl FnMut(usize) -> Step + Send + 'static) {
        *self.0.connect.lock().unwrap() = Box::new(script);
    }

    fn check_as(&self, script: impl FnMut(usize) -> Step + Send + 'static) {
        *self.0.check.lock().unwrap() = Box::new(script);
    }

    fn reset_as(&self, script: impl FnMut(usize) -> Step + Send + 'static) {
        *self.0.reset.lock().unwrap() = Box::new(script);
    }

    fn open_as(&self, script: impl FnMut(usize) -> bool + Send + 'static) {
        *self.0.is_open.lock().unwrap() = Box::new(script);
    }

    fn count(&self, of: impl Fn(&Inner) -> &AtomicUsize) -> usize {
        of(&self.0).load(Ordering::SeqCst)
    }
}

fn run(script: &Mutex<Script>, number: usize) -> Step {
    let mut script = script.lock().unwrap();
    (*script)(number)
}

impl Manager for Server {
    type Connection = Connection;
    type Error = No;

    async fn connect(&self) -> Result<Connection, No> {
        let number = self.0.tries.fetch_add(1, Ordering::SeqCst);
        run(&self.0.connect, number).await?;
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let number = self.0.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { number, server: Arc::clone(&self.0) })
    }

    fn is_open(&self, connection: &Connection) -> bool {
        let mut script = self.0.is_open.lock().unwrap();
        (*script)(connection.number)
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), No> {
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        run(&self.0.check, connection.number).await
    }

    fn returned(&self, _: &mut Connection) -> Returned {
        *self.0.returned.lock().unwrap()
    }

    async fn reset(&self, connection: &mut Connection) -> Result<(), No> {
        run(&self.0.reset, connection.number).await
    }

    fn severity(&self, _: &No) -> Severity {
        *self.0.severity.lock().unwrap()
    }
}

/// A runtime that stands still unless somebody blocks on it.
fn still() -> Runtime {
    RuntimeBuilder::new_current_thread().enable_time().build().unwrap()
}

/// A runtime that goes on by itself.
fn going() -> Runtime {
    RuntimeBuilder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// Runs a test that could hang.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(test));
        let _ = done.send(result);
    });
    match ended.recv_timeout(5 * SECOND) {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => panic!("it does not end"),
    }
}

/// Polls a future once, with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn fill(pool: &Pool<Server>, connections: usize) {
    let mut leases = Vec::new();
    for _ in 0..connections {
        leases.push(pool.acquire().await.unwrap());
    }
}

fn age(lease: &Lease<Server>) -> Duration {
    Instant::now().into_std() - lease.opened_at()
}

// Lifetimes and checks

#[tokio::test(start_paused = true)]
async fn an_expired_connection_goes_to_nobody_though_upkeep_is_late() {
    let pool = Server::new().builder().max_size(1).max_lifetime(Some(60 * SECOND)).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(poll!(&mut waits).is_pending());
    advance(61 * SECOND).await;
    drop(held);
    assert!(waits.await.is_ok_and(|lease| age(&lease) == Duration::ZERO) || pool.status().size == 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_long_ago_is_looked_at_before_it_is_used() {
    for lifetime in [60 * SECOND, 1800 * SECOND] {
        let pool = Server::new().builder().max_size(1).max_lifetime(Some(lifetime)).build().unwrap();
        let held = pool.acquire().await.unwrap();
        let mut waits = pin!(pool.acquire_until(Instant::now() + 7200 * SECOND));
        assert!(poll_once(waits.as_mut()).is_pending());
        drop(held);
        // Nobody polls it for long.
        sleep(3600 * SECOND).await;
        let lease = waits.await.unwrap();
        assert!(age(&lease) < lifetime, "{:?} old, of {lifetime:?}", age(&lease));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_long_ago_and_left_is_checked() {
    let server = Server::new();
    let pool = server.builder().max_size(1).max_lifetime(None).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(held);
    sleep(3600 * SECOND).await;
    drop(waits);
    let lease = pool.acquire().await.unwrap();
    assert_eq!((server.count(|server| &server.checks), lease.uses()), (1, 2));
    assert_eq!(pool.snapshot().counters.acquired, 2, "one of three was not seen by anybody");
}

#[tokio::test(start_paused = true)]
async fn what_lay_at_a_threads_hand_for_long_is_checked() {
    let server = Server::new();
    let pool = server.builder().max_size(2).build().unwrap();
    let (first, second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(first);
    sleep(80 * SECOND).await;
    // It takes the place at hand of the one that rests there.
    drop(second);
    let _both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!((server.count(|server| &server.opened), server.count(|server| &server.checks)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_kept_alive_is_used_before_one_that_needs_a_check() {
    let server = Server::new();
    let pool = server.builder().max_size(2).keepalive(Some(50 * SECOND)).build().unwrap();
    let (older, newer) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(older);
    sleep(30 * SECOND).await;
    drop(newer);
    sleep(40 * SECOND).await;
    assert_eq!((server.count(|server| &server.checks), pool.status().idle), (1, 2));
    server.check_as(|_| never());
    assert!(pool.acquire_until(Instant::now() + 500 * MS).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_keepalive_beside_a_connection_that_rests() {
    let server = Server::new();
    let pool = server.builder().max_size(2).keepalive(Some(50 * SECOND)).build().unwrap();
    let (first, second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let hangs = first.number;
    drop(first);
    sleep(10 * SECOND).await;
    drop(second);
    server.check_as(move |number| if number == hangs { never() } else { well() });
    sleep(40 * SECOND + 10 * MS).await;
    assert_eq!((pool.status().checking, pool.status().idle), (1, 1));
    assert!(pool.acquire_until(Instant::now() + 500 * MS).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_keepalive_makes_no_room_for_another_connection() {
    let server = Server::new();
    let pool = server.builder().max_size(5).min_idle(1).keepalive(Some(10 * SECOND)).idle_timeout(None);
    let pool = pool.max_lifetime(None).build().unwrap();
    sleep(SECOND).await;
    server.check_as(|_| bad());
    sleep(11 * SECOND).await;
    server.check_as(|_| slow(100 * MS));
    sleep(60 * SECOND).await;
    assert_eq!((pool.status().size, server.count(|server| &server.opened)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn so_many_rest_beside_those_that_are_held() {
    let pool = Server::new().builder().max_size(5).min_idle(2).build().unwrap();
    sleep(SECOND).await;
    // Those that are back soon are no reason to open others.
    for _ in 0..10 {
        let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
        sleep(SECOND / 2).await;
        drop(held);
        sleep(2 * SECOND).await;
    }
    assert_eq!((pool.status().idle, pool.status().size), (2, 2));
    let _held = pool.acquire().await.unwrap();
    sleep(2 * SECOND).await;
    assert_eq!((pool.status().idle, pool.status().size), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn none_is_handed_out_past_its_lifetime_however_late_it_comes() {
    // How long before its end somebody asks, until the lease comes back, and until whoever asked is polled again.
    for (lifetime, held, unpolled) in [(1800, 41, 0), (1800, 1000, 0), (310, 11, 0), (60, 0, 3), (310, 0, 20)]
    {
        let (lifetime, late) = (Duration::from_secs(lifetime), Duration::from_secs(held + unpolled));
        let server = Server::new();
        let pool = server.builder().max_size(3).max_connecting(1).max_lifetime(Some(lifetime));
        let pool = pool.connect_timeout(7200 * SECOND).build().unwrap();
        let lease = pool.acquire().await.unwrap();
        // So that it has no successor.
        server.connect_as(|_| never());
        sleep(lifetime + SECOND - late).await;
        let mut waits = Box::pin(pool.acquire_until(Instant::now() + 7200 * SECOND));
        assert!(poll!(&mut waits).is_pending());
        sleep(Duration::from_secs(held)).await;
        drop(lease);
        sleep(Duration::from_secs(unpolled)).await;
        if let Ok(Ok(lease)) = timeout(MS, waits).await {
            assert!(age(&lease) <= lifetime, "{:?} old, of {lifetime:?}", age(&lease));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_had_in_place_of_a_bad_one_is_checked_and_has_not_leaked() {
    let server = Server::new();
    let leaked = Arc::new(AtomicUsize::new(0));
    let pool = server.builder().max_size(2).leak_after(Some(150 * SECOND)).on_event({
        let leaked = Arc::clone(&leaked);
        move |event| {
            leaked.fetch_add(usize::from(matches!(event, Event::Leaked { .. })), Ordering::SeqCst);
        }
    });
    let pool = pool.build().unwrap();
    let (dies, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let number = dies.number;
    let mut waits = Box::pin(pool.acquire_until(Instant::now() + 300 * SECOND));
    assert!(poll!(&mut waits).is_pending());
    drop(dies);
    drop(other);
    sleep(120 * SECOND).await;
    server.open_as(move |open| open != number);
    let _lease = waits.await.unwrap();
    assert_eq!(server.count(|server| &server.checks), 1, "it rested for two minutes");
    sleep(100 * SECOND).await;
    assert_eq!(leaked.load(Ordering::SeqCst), 0, "it is out for less");
}

// Servers in trouble

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_behind_the_login_is_not_stormed() {
    let server = Server::new();
    server.open_as(|_| false);
    let pool = server.builder().max_size(1).fail_fast(false).acquire_timeout(SECOND).build().unwrap();
    let error = pool.acquire().await.err().unwrap();
    assert!(matches!(error.cause().map(|cause| &**cause), Some(ConnectError::Closed)), "{error:?}");
    let tries = server.count(|server| &server.tries);
    assert!(tries < 50, "{tries} tries in a second");
    assert_eq!(server.count(|server| &server.alive), 0);
}

#[tokio::test(start_paused = true)]
async fn what_rests_is_checked_and_used_though_no_other_can_be_opened() {
    let server = Server::new();
    let pool = server.builder().max_size(2).check_after(Some(SECOND)).backoff(60 * SECOND, 60 * SECOND);
    let pool = pool.build().unwrap();
    let held = pool.acquire().await.unwrap();
    *server.0.severity.lock().unwrap() = Severity::Permanent;
    server.connect_as(|_| bad());
    assert!(pool.acquire().await.is_err());
    drop(held);
    sleep(2 * SECOND).await;
    assert!(pool.acquire().await.is_ok());
}

#[test]
fn what_another_thread_keeps_at_hand_is_used_though_no_other_can_be_opened() {
    let home = going();
    let server = Server::new();
    let pool = home
        .block_on(async { server.builder().max_size(2).backoff(60 * SECOND, 60 * SECOND).build().unwrap() });
    let held = home.block_on(pool.acquire()).unwrap();
    *server.0.severity.lock().unwrap() = Severity::Permanent;
    server.connect_as(|_| bad());
    assert!(home.block_on(pool.acquire()).is_err());
    drop(held);
    for _ in 0..4 {
        let (other, handle) = (pool.clone(), home.handle().clone());
        let got = thread::spawn(move || handle.block_on(other.acquire()).is_ok()).join().unwrap();
        assert!(got, "{:?}", pool.status());
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_connect_refuses_nobody_whom_another_serves() {
    let server = Server::new();
    server.connect_as(|number| match number {
        0 => Box::pin(async {
            sleep(5 * MS).await;
            Err(No)
        }),
        _ => slow(20 * MS),
    });
    let pool = server.builder().max_size(5).build().unwrap();
    let (first, second) = tokio::join!(pool.acquire(), pool.acquire());
    assert!(first.is_ok() || second.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_the_last_connection_goes_and_none_can_be_opened() {
    let server = Server::new();
    let pool = server.builder().max_size(2).backoff(600 * SECOND, 600 * SECOND).build().unwrap();
    let held = pool.acquire().await.unwrap();
    server.connect_as(|_| bad());
    // It waits for the one that is out, since no other can be opened.
    let mut waits = pin!(pool.acquire_until(Instant::now() + 60 * SECOND));
    assert!(poll_once(waits.as_mut()).is_pending());
    sleep(MS).await;
    assert_eq!(pool.status().waiting, 1);
    let asked = Instant::now();
    held.close();
    assert!(matches!(waits.await, Err(AcquireError::Down { .. })));
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connect_beside_a_check_that_hangs_is_tried_again() {
    let server = Server::new();
    let pool = server.builder().max_size(3).check_timeout(4 * SECOND).build().unwrap();
    fill(&pool, 2).await;
    sleep(31 * SECOND).await;
    let tries = server.count(|server| &server.tries);
    let mut is_first = true;
    server.check_as(move |_| if std::mem::take(&mut is_first) { bad() } else { never() });
    server.connect_as(move |number| if number <= tries { bad() } else { well() });
    let asked = Instant::now();
    assert!(pool.acquire().await.is_ok());
    assert!(asked.elapsed() < SECOND, "{:?}", asked.elapsed());
}

#[test]
fn upkeep_rests_until_connecting_is_tried_again() {
    in_time(|| {
        RuntimeBuilder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(
            async {
                let server = Server::new();
                let pool = server.builder().max_size(2).backoff(60 * SECOND, 60 * SECOND).build().unwrap();
                let _held = pool.acquire().await.unwrap();
                server.connect_as(|_| bad());
                assert!(pool.acquire_until(Instant::now() + 10 * MS).await.is_err());
                // Two that ask for upkeep before it comes to run, and leave.
                for deadline in [5, 4] {
                    let mut leaves = Box::pin(pool.acquire_until(Instant::now() + deadline * MS));
                    assert!(poll!(&mut leaves).is_pending());
                }
                sleep(SECOND).await;
            },
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_connect_refuses_nobody_whose_connection_is_on_its_way() {
    let server = Server::new();
    let pool = server.builder().max_size(2).keepalive(Some(40 * SECOND)).backoff(60 * SECOND, 60 * SECOND);
    let pool = pool.build().unwrap();
    fill(&pool, 1).await;
    sleep(31 * SECOND).await;
    server.check_as(|_| slow(50 * MS));
    *server.0.severity.lock().unwrap() = Severity::Permanent;
    server.connect_as(|_| bad());
    // One is being checked, and one cannot be opened.
    let (first, second) = tokio::join!(pool.acquire(), pool.acquire());
    assert!(first.is_ok() && second.is_err());
    drop(first);
    // It is being kept alive.
    sleep(40 * SECOND + 10 * MS).await;
    assert_eq!(pool.status().checking, 1);
    assert!(pool.acquire().await.is_ok());
}

// Overload

#[tokio::test(start_paused = true)]
async fn a_bound_of_the_queue_refuses_nobody_for_whom_there_is_a_connection() {
    let pool = Server::new().builder().max_size(5).max_waiting(Some(1)).build().unwrap();
    fill(&pool, 5).await;
    // All of them need a check now.
    sleep(31 * SECOND).await;
    let (first, second) = tokio::join!(pool.acquire(), pool.acquire());
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_may_wait_a_connection_can_still_be_opened_and_checked() {
    let pool = Server::new().builder().max_size(2).max_waiting(Some(0)).build().unwrap();
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert!(matches!(pool.acquire().await, Err(AcquireError::QueueFull { waiting: 0 })));
    drop(held);
    sleep(31 * SECOND).await;
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_the_queue_leaves_what_is_kept_for_a_class() {
    let pool = Server::new().builder().max_size(4).class("web", 2).max_waiting(Some(0)).build().unwrap();
    let mut others: Vec<_> = (0..4).map(|_| Box::pin(pool.acquire())).collect();
    let mut refused = 0;
    for other in &mut others {
        refused += usize::from(matches!(poll!(other), Poll::Ready(Err(AcquireError::QueueFull { .. }))));
    }
    assert_eq!(refused, 2, "nobody may wait for what is kept for others");
    sleep(MS).await;
    assert!(pool.acquire_with(AcquireOptions::new().class("web")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_alive_is_in_nobodys_use() {
    let server = Server::new();
    let pool =
        server.builder().max_size(1).keepalive(Some(10 * SECOND)).max_waiting(Some(0)).build().unwrap();
    fill(&pool, 1).await;
    server.check_as(|_| slow(50 * MS));
    sleep(10 * SECOND + 10 * MS).await;
    assert_eq!(pool.status().checking, 1);
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_is_not_turned_away() {
    let server = Server::new();
    server.connect_as(|_| slow(50 * MS));
    let pool = server.builder().max_size(10).max_uses(Some(1)).shedding(5 * MS, 100 * MS).build().unwrap();
    for turn in 0..10 {
        let got = pool.acquire().await;
        assert!(got.is_ok(), "turn {turn}: {:?}", got.err());
        drop(got);
        sleep(60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_phase_is_that_of_the_callers_class() {
    let server = Server::new();
    let pool = server.builder().max_size(2).class("first", 0).class("second", 1);
    let pool = pool.connect_timeout(60 * SECOND).build().unwrap();
    let of = |class| AcquireOptions::new().class(class);
    let _held = pool.acquire_with(of("first")).await.unwrap();
    server.connect_as(|_| never());
    let (first, second) = tokio::join!(pool.acquire_with(of("first")), pool.acquire_with(of("second")));
    for (result, expected) in [(first, Phase::Wait), (second, Phase::Connect)] {
        assert!(matches!(result, Err(AcquireError::Timeout { phase, .. }) if phase == expected));
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_were_handed_bad_ones_keep_their_order() {
    let server = Server::new();
    let pool = server.builder().max_size(2).max_connecting(1).build().unwrap();
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let (mut first, mut second) = (pin!(pool.acquire()), pin!(pool.acquire()));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    let before = pool.snapshot().counters;
    server.connect_as(|_| slow(20 * MS));
    drop(held);
    pool.evict();
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    sleep(25 * MS).await;
    let served = poll_once(first.as_mut());
    assert!(served.is_ready(), "the first in line is the first served");
    assert!(poll_once(second.as_mut()).is_pending());
    assert_eq!(pool.snapshot().counters.waited, before.waited, "they are counted already");
}

#[tokio::test(start_paused = true)]
async fn what_died_at_rest_is_not_counted_as_handed_out() {
    let server = Server::new();
    let pool = server.builder().max_size(5).build().unwrap();
    fill(&pool, 5).await;
    server.open_as(|number| number >= 5);
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.snapshot().counters.acquired, 6);
}

// The end

#[tokio::test(start_paused = true)]
async fn behind_the_last_handle_nothing_is_opened_and_nothing_goes_on() {
    let server = Server::new();
    server.connect_as(|_| slow(20 * MS));
    let pool = server.builder().max_size(10).min_idle(10).max_connecting(1).build().unwrap();
    sleep(5 * MS).await;
    drop(pool);
    sleep(SECOND).await;
    assert_eq!((server.count(|server| &server.tries), server.count(|server| &server.alive)), (1, 0));

    server.connect_as(|_| never());
    let pool = server.builder().connect_timeout(3600 * SECOND).build().unwrap();
    let _ = timeout(10 * MS, pool.acquire()).await;
    drop(pool);
    sleep(MS).await;
    assert_eq!(Arc::strong_count(&server.0), 1, "the manager is gone with the pool");
}

#[tokio::test(start_paused = true)]
async fn what_is_about_to_begin_is_given_up_at_the_deadline_too() {
    let server = Server::new();
    *server.0.returned.lock().unwrap() = Returned::Soiled;
    server.reset_as(|_| never());
    let pool = server.builder().max_size(1).reset_timeout(3600 * SECOND).build().unwrap();
    drop(pool.acquire().await.unwrap());
    pool.close(Instant::now()).await;
    sleep(MS).await;
    assert_eq!(pool.status().size, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_hands_out_nothing_that_was_on_its_way() {
    let pool = Server::new().builder().max_size(1).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(poll!(&mut waits).is_pending());
    drop(held);
    pool.close_within(Duration::ZERO).await;
    assert!(matches!(waits.await, Err(AcquireError::Closed)));
    assert_eq!(pool.status().size, 0);
}

// Wakers and runtimes

/// Panics when it is told.
struct Mad;

impl Wake for Mad {
    fn wake(self: Arc<Self>) {
        panic!("as the test told it");
    }
}

fn poll_madly<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::new(Mad))))
}

#[test]
fn a_mad_waker_neither_closes_the_pool_nor_keeps_the_end_from_others() {
    let home = going();
    let pool = home.block_on(async { Server::new().builder().max_size(1).build().unwrap() });
    let held = home.block_on(pool.acquire()).unwrap();
    // Upkeep tells it that its time is over.
    let mut overdue = Box::pin(pool.acquire_until(Instant::now() + 20 * MS));
    assert!(poll_madly(overdue.as_mut()).is_pending());
    let told = home.block_on(async {
        timeout(SECOND, async {
            while poll!(&mut overdue).is_pending() {
                sleep(5 * MS).await;
            }
        })
        .await
    });
    assert!(told.is_ok());
    let mut waits = [Box::pin(pool.acquire()), Box::pin(pool.acquire()), Box::pin(pool.acquire())];
    let [first, mad, last] = &mut waits;
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_madly(mad.as_mut()).is_pending());
    assert!(poll_once(last.as_mut()).is_pending());
    home.block_on(pool.close_within(10 * MS));
    assert!(waits.iter_mut().all(|wait| matches!(poll_once(wait.as_mut()), Poll::Ready(Err(_)))));
    drop(held);
    assert_eq!(pool.status().size, 0);
}

#[test]
fn a_mad_waker_costs_no_place() {
    let home = going();
    let server = Server::new();
    let pool = home.block_on(async { server.builder().max_size(2).class("web", 1).build().unwrap() });
    let web = || home.block_on(pool.acquire_with(AcquireOptions::new().class("web"))).unwrap();
    let (kept, other) = (web(), home.block_on(pool.acquire()).unwrap());
    // It rests, and nobody but the web may have it.
    drop(kept);
    let mut waits = Box::pin(pool.acquire());
    assert!(poll_madly(waits.as_mut()).is_pending());
    *server.0.returned.lock().unwrap() = Returned::Soiled;
    drop(other);
    drop(waits);
    home.block_on(async {
        timeout(SECOND, async {
            while pool.status().resetting > 0 {
                sleep(5 * MS).await;
            }
        })
        .await
        .expect("the reset ends");
    });
    assert_eq!(pool.status().size, server.count(|server| &server.alive));
}

#[test]
fn a_wait_may_go_on_in_another_runtime() {
    in_time(|| {
        let (home, other) = (still(), still());
        let pool = home.block_on(async {
            Server::new().builder().max_size(1).acquire_timeout(50 * MS).build().unwrap()
        });
        let held = home.block_on(pool.acquire()).unwrap();
        // First at home, where upkeep sees to its deadline; then where nothing of the pool runs.
        let mut waits = pool.acquire();
        home.block_on(async { assert!(poll!(&mut waits).is_pending()) });
        assert!(other.block_on(async { timeout(SECOND, waits).await }).is_ok());
        // First in no runtime at all.
        let mut waits = pool.acquire();
        assert!(poll_once(Pin::new(&mut waits)).is_pending());
        assert!(other.block_on(async { timeout(SECOND, waits).await }).is_ok());
        // First in one that ends.
        let mut waits = pool.acquire_until(Instant::now() + 60 * SECOND);
        other.block_on(async { assert!(poll!(&mut waits).is_pending()) });
        drop(other);
        drop(held);
        assert!(home.block_on(waits).is_ok());
    });
}

#[test]
fn an_empty_pool_is_closed_outside_of_a_runtime() {
    let home = going();
    let pool = home.block_on(async { Server::new().builder().build().unwrap() });
    assert_eq!(pool.close_within(SECOND).now_or_never(), Some(true));
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, which may be that of a task.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn a_task_may_block_on_checkouts() {
    in_time(|| {
        going().block_on(async {
            let pool = Server::new().builder().max_size(1).build().unwrap();
            fill(&pool, 1).await;
            let blocking = tokio::spawn(async move { (0..300).all(|_| block_on(pool.acquire()).is_ok()) });
            assert!(blocking.await.unwrap());
        });
    });
}

#[tokio::test(start_paused = true)]
async fn one_poll_is_enough_however_often_it_is_done() {
    let pool = Server::new().builder().max_size(1).build().unwrap();
    fill(&pool, 1).await;
    assert!((0..1000).all(|_| pool.acquire().now_or_never().is_some_and(|got| got.is_ok())));
}

#[tokio::test(start_paused = true)]
async fn one_poll_is_enough_for_what_rests() {
    for leak_after in [None, Some(3600 * SECOND)] {
        let server = Server::new();
        let pool = server.builder().max_size(2).keepalive(Some(50 * SECOND)).leak_after(leak_after);
        let pool = pool.build().unwrap();
        let (older, newer) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        drop(older);
        sleep(30 * SECOND).await;
        drop(newer);
        // The older one was kept alive meanwhile, and the newer one needs a check.
        sleep(40 * SECOND).await;
        assert!(pool.acquire().now_or_never().is_some(), "{leak_after:?}");
    }
}
