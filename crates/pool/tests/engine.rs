//! What the engine does by itself: upkeep, overload, failing fast, events; and every future dropped at every poll.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millpond_pool::{
    AcquireError, AcquireOptions, Builder, CloseReason, Event, Manager, Phase, Pool, Returned, Severity,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

/// How a step of the manager's goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Well,
    Wrong,
    Slowly,
    Never,
    Mad,
}

const ALL: [Goes; 5] = [Goes::Well, Goes::Wrong, Goes::Slowly, Goes::Never, Goes::Mad];

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

async fn go(goes: Goes) -> Result<(), No> {
    match goes {
        Goes::Well => Ok(()),
        Goes::Wrong => Err(No),
        Goes::Slowly => {
            sleep(20 * MS).await;
            Ok(())
        }
        Goes::Never => std::future::pending().await,
        Goes::Mad => panic!("as the test told it"),
    }
}

#[derive(Clone, Copy, Debug)]
struct Script {
    connect: Goes,
    check: Goes,
    reset: Goes,
    hook: Goes,
    returned: Returned,
    severity: Severity,
    /// The number of the connection that is closed by the other side.
    dead: usize,
}

const GOOD: Script = Script {
    connect: Goes::Well,
    check: Goes::Well,
    reset: Goes::Well,
    hook: Goes::Well,
    returned: Returned::Clean,
    severity: Severity::Transient,
    dead: usize::MAX,
};

#[derive(Clone)]
struct Server {
    script: Arc<Mutex<Script>>,
    connects: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
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

impl Manager for Server {
    type Connection = Connection;
    type Error = No;

    async fn connect(&self) -> Result<Connection, No> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        go(self.script().connect).await?;
        let number = self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { number, alive: Arc::clone(&self.alive) })
    }

    fn is_open(&self, connection: &Connection) -> bool {
        connection.number != self.script().dead
    }

    async fn check(&self, _: &mut Connection) -> Result<(), No> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        go(self.script().check).await
    }

    fn returned(&self, _: &mut Connection) -> Returned {
        self.script().returned
    }

    async fn reset(&self, _: &mut Connection) -> Result<(), No> {
        go(self.script().reset).await
    }

    fn severity(&self, _: &No) -> Severity {
        self.script().severity
    }
}

impl Server {
    fn new() -> Self {
        let zero = || Arc::new(AtomicUsize::new(0));
        Self { script: Arc::new(Mutex::new(GOOD)), connects: zero(), checks: zero(), alive: zero() }
    }

    fn script(&self) -> Script {
        *self.script.lock().unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn builder(&self) -> Builder<Self> {
        Pool::builder(self.clone()).max_size(2).seed(1)
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }
}

/// What was told, as text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn listener(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |event| told.0.lock().unwrap().push(event.to_string())
    }

    fn count(&self, words: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|text| text.contains(words)).count()
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        sleep(MS).await;
    }
    panic!("never came about: {what}");
}

/// Takes so many connections and gives them back.
async fn fill(pool: &Pool<Server>, connections: usize) {
    let mut leases = Vec::new();
    for _ in 0..connections {
        leases.push(pool.acquire().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_connections_are_kept_idle_from_the_start_on() {
    let server = Server::new();
    let pool = server.builder().max_size(5).min_idle(3).build().unwrap();
    until("they are there", || pool.status().idle == 3).await;
    server.set(|script| script.connect = Goes::Wrong);
    pool.evict();
    sleep(10_000 * MS).await;
    assert_eq!(pool.status().size, 0);
    server.set(|script| script.connect = Goes::Well);
    until("they are there again", || pool.status().idle == 3).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_goes_after_its_time_and_no_more() {
    let server = Server::new();
    let told = Told::default();
    let pool = server.builder().max_size(9).min_idle(2).idle_timeout(Some(60_000 * MS));
    let pool = pool.on_event(told.listener()).build().unwrap();
    fill(&pool, 9).await;
    assert_eq!(pool.status().idle, 9);
    // One a second is enough for one of them.
    for _ in 0..100 {
        drop(pool.acquire().await.unwrap());
        sleep(1000 * MS).await;
    }
    assert_eq!((pool.status().size, server.alive()), (2, 2));
    let counters = pool.snapshot().counters;
    assert_eq!((counters.closed(CloseReason::Idle), told.count("closed: idle")), (7, 7));
    assert_eq!((counters.opened, counters.acquired), (9, 109));
}

#[tokio::test(start_paused = true)]
async fn lifetimes_end_apart_and_no_caller_waits_for_it() {
    let server = Server::new();
    server.set(|script| script.connect = Goes::Slowly);
    let pool = server.builder().max_size(20).max_lifetime(Some(100_000 * MS)).build().unwrap();
    fill(&pool, 10).await;
    let start = Instant::now();
    let mut ended = Vec::new();
    let mut longest = Duration::ZERO;
    while start.elapsed() < 110_000 * MS {
        let before = pool.snapshot().counters.closed(CloseReason::Expired);
        let asked = Instant::now();
        fill(&pool, 5).await;
        longest = longest.max(asked.elapsed());
        sleep(500 * MS).await;
        let expired = pool.snapshot().counters.closed(CloseReason::Expired) - before;
        ended.extend(std::iter::repeat_n(start.elapsed(), usize::try_from(expired).unwrap()));
    }
    assert!(ended.len() >= 10, "{ended:?}");
    assert!(ended[9] - ended[0] > 3_000 * MS, "in one wave: {ended:?}");
    assert_eq!(longest, Duration::ZERO, "a caller waited for a successor");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_so_often_and_no_more() {
    let server = Server::new();
    let pool = server.builder().max_uses(Some(3)).build().unwrap();
    for _ in 0..9 {
        let lease = pool.acquire().await.unwrap();
        assert!(lease.uses() <= 3);
    }
    assert_eq!(server.connects(), 3);
    assert_eq!(pool.snapshot().counters.closed(CloseReason::Used), 3);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_alive_and_a_dead_one_replaced_before_anybody_asks() {
    let server = Server::new();
    let pool = server.builder().min_idle(1).keepalive(Some(10_000 * MS)).idle_timeout(None).build().unwrap();
    until("it is there", || pool.status().idle == 1).await;
    sleep(35_000 * MS).await;
    assert_eq!((server.checks.load(Ordering::SeqCst), server.connects()), (3, 1));
    server.set(|script| script.check = Goes::Never);
    sleep(12_000 * MS).await;
    assert_eq!(pool.snapshot().counters.closed(CloseReason::CheckFailed), 1);
    until("another is there", || pool.status().idle == 1).await;
    assert_eq!(server.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_what_rested_for_long_is_checked_and_a_check_has_its_own_limit() {
    let server = Server::new();
    let pool = server.builder().check_after(Some(1000 * MS)).check_timeout(100 * MS).build().unwrap();
    fill(&pool, 2).await;
    sleep(900 * MS).await;
    fill(&pool, 1).await;
    assert_eq!(server.checks.load(Ordering::SeqCst), 0);
    server.set(|script| script.check = Goes::Never);
    sleep(2000 * MS).await;
    let asked = Instant::now();
    let lease = pool.acquire().await.unwrap();
    assert!(asked.elapsed() <= 101 * MS, "{:?}", asked.elapsed());
    drop(lease);
    let short = AcquireOptions::new().deadline(Instant::now() + 50 * MS);
    sleep(2000 * MS).await;
    let error = pool.acquire_with(short).await.unwrap_err();
    assert!(matches!(error, AcquireError::Timeout { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_check_is_told_so() {
    let server = Server::new();
    let pool = server.builder().max_size(1).check_after(Some(1000 * MS)).build().unwrap();
    fill(&pool, 1).await;
    server.set(|script| script.check = Goes::Never);
    sleep(2000 * MS).await;
    let error = pool.acquire_until(Instant::now() + 50 * MS).await.unwrap_err();
    assert!(matches!(error, AcquireError::Timeout { phase: Phase::Check, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_acquire_costs_neither_the_check_nor_the_connect() {
    let server = Server::new();
    server.set(|script| (script.connect, script.check) = (Goes::Slowly, Goes::Slowly));
    let pool = server.builder().check_after(Some(1000 * MS)).build().unwrap();
    assert!(pool.acquire_until(Instant::now() + 5 * MS).await.is_err());
    until("it is there all the same", || pool.status().idle == 1).await;
    sleep(2000 * MS).await;
    assert!(pool.acquire_until(Instant::now() + 5 * MS).await.is_err());
    until("it rests again", || pool.status().idle == 1).await;
    assert_eq!((server.connects(), server.alive()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_out_for_long_is_told_with_the_place_it_came_from() {
    let told = Told::default();
    let pool = Server::new().builder().leak_after(Some(1000 * MS)).on_event(told.listener()).build().unwrap();
    let line = line!() + 1;
    let lease = pool.acquire().await.unwrap();
    let short = pool.acquire().await.unwrap();
    sleep(500 * MS).await;
    drop(short);
    sleep(5000 * MS).await;
    assert_eq!(told.count(&format!("engine.rs:{line}:")), 1, "{:?}", told.0.lock().unwrap());
    assert_eq!(pool.snapshot().counters.leaked, 1);
    drop(lease);
    assert_eq!(pool.status().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let pool = Server::new().builder().max_size(1).max_waiting(Some(1)).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.is_ok() }
    });
    until("it waits", || pool.status().waiting == 1).await;
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::QueueFull { waiting: 1 }), "{error:?}");
    drop(held);
    assert!(waiting.await.unwrap());
    assert_eq!(pool.snapshot().counters.queue_full, 1);
}

#[tokio::test(start_paused = true)]
async fn a_standing_queue_is_cut_so_that_the_rest_are_served_in_time() {
    let pool = Server::new().builder().max_size(1).shedding(5 * MS, 100 * MS).build().unwrap();
    let mut all = Vec::new();
    // Two for every one that can be served.
    for _ in 0..400 {
        let pool = pool.clone();
        all.push(tokio::spawn(async move {
            let asked = Instant::now();
            let lease = pool.acquire().await.map_err(|error| matches!(error, AcquireError::Shed { .. }))?;
            let waited = asked.elapsed();
            sleep(2 * MS).await;
            drop(lease);
            Ok::<_, bool>(waited)
        }));
        sleep(MS).await;
    }
    let (mut served, mut shed) = (Vec::new(), 0);
    for task in all {
        match task.await.unwrap() {
            Ok(waited) => served.push(waited),
            Err(is_shed) => shed += usize::from(is_shed),
        }
    }
    assert!(shed > 50 && served.len() > 150, "{shed} of {}", served.len() + shed);
    let late = served.iter().skip(150).filter(|waited| **waited > 20 * MS).count();
    assert!(late * 4 < served.len(), "{late} of {} waited for long", served.len());
}

#[tokio::test(start_paused = true)]
async fn a_class_has_what_is_kept_for_it() {
    let pool = Server::new().builder().max_size(3).class("web", 1).build().unwrap();
    let web = || AcquireOptions::new().class("web").deadline(Instant::now() + 10 * MS);
    let _jobs = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let job = pool.acquire_until(Instant::now() + 10 * MS).await;
    assert!(matches!(job, Err(AcquireError::Timeout { phase: Phase::Wait, .. })));
    let lease = pool.acquire_with(web()).await.unwrap();
    assert!(pool.acquire_with(web()).await.is_err(), "all are out");
    drop(lease);
    assert!(pool.acquire_with(web()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_tries_while_the_server_is_down_and_all_others_fail_at_once() {
    let server = Server::new();
    server.set(|script| script.connect = Goes::Wrong);
    let pool = server.builder().max_connecting(4).build().unwrap();
    let start = Instant::now();
    let (mut failed, mut longest) = (0_u32, Duration::ZERO);
    while start.elapsed() < 10_000 * MS {
        let asked = Instant::now();
        let error = pool.acquire().await.unwrap_err();
        longest = longest.max(asked.elapsed());
        failed += 1;
        let text = format!("{error}: {}", error.cause().unwrap());
        assert!(text.starts_with("cannot connect") && text.ends_with("no"), "{text}");
        sleep(5 * MS).await;
    }
    assert!(failed > 1900 && longest < 10 * MS, "{failed} in {longest:?}");
    assert!(server.connects() < 40, "{} tries in ten seconds", server.connects());
    server.set(|script| script.connect = Goes::Well);
    until("it is found up", || pool.status().idle == 1).await;
    assert!(pool.acquire().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_changed_password_is_asked_for_once_more_and_a_wrong_one_is_told() {
    let server = Server::new();
    server.set(|script| (script.connect, script.severity) = (Goes::Wrong, Severity::Refreshable));
    let pool = server.builder().build().unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Connect(_)), "{error:?}");
    assert_eq!(server.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_size_is_exact_while_many_ask() {
    let server = Server::new();
    let pool = server.builder().max_size(10).max_connecting(10).build().unwrap();
    let most = Arc::new(AtomicUsize::new(10));
    let tasks: Vec<_> = (0..15)
        .map(|_| {
            let (pool, server, most) = (pool.clone(), server.clone(), Arc::clone(&most));
            tokio::spawn(async move {
                for _ in 0..200 {
                    let lease = pool.acquire().await.unwrap();
                    assert!(server.alive() <= most.load(Ordering::SeqCst));
                    sleep(MS).await;
                    drop(lease);
                }
            })
        })
        .collect();
    sleep(10 * MS).await;
    pool.resize(5).unwrap();
    sleep(3 * MS).await;
    assert_eq!(server.alive(), 5);
    most.store(5, Ordering::SeqCst);
    sleep(20 * MS).await;
    most.store(10, Ordering::SeqCst);
    pool.resize(10).unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.alive(), 10);
    let error = pool.resize(0).unwrap_err();
    assert_eq!(error.setting(), "max_size");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_by_the_deadline_is_given_up() {
    let server = Server::new();
    let pool = server.builder().connect_timeout(60_000 * MS).build().unwrap();
    let held = pool.acquire().await.unwrap();
    server.set(|script| script.connect = Goes::Never);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    until("it is being opened", || pool.status().connecting == 1).await;
    let asked = Instant::now();
    assert!(!pool.close_within(1000 * MS).await);
    assert_eq!(asked.elapsed(), 1000 * MS);
    assert!(matches!(waiting.await.unwrap(), Err(AcquireError::Closed)));
    until("only the lease is left", || pool.status().size == 1).await;
    drop(held);
    assert!(pool.close_within(MS).await);
    assert_eq!(server.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn generations_retire_what_is_older() {
    let server = Server::new();
    let pool = server.builder().build().unwrap();
    let old = pool.acquire().await.unwrap();
    pool.evict_before(5);
    pool.evict_before(3);
    assert_eq!(pool.generation(), 5);
    let new = pool.acquire().await.unwrap();
    assert!(old.is_evicted() && !new.is_evicted());
    drop((old, new));
    assert_eq!((pool.status().size, pool.snapshot().counters.closed(CloseReason::Evicted)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_detached_connection_makes_room() {
    let server = Server::new();
    let pool = server.builder().max_size(1).build().unwrap();
    let connection = pool.acquire().await.unwrap().detach();
    let lease = pool.acquire().await.unwrap();
    assert_eq!((connection.number, lease.number, server.alive()), (0, 1, 2));
    lease.close();
    assert_eq!(server.alive(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_what_rests() {
    let server = Server::new();
    let pool = server.builder().build().unwrap();
    fill(&pool, 2).await;
    drop(pool);
    assert_eq!(server.alive(), 0);
}

#[test]
fn a_caller_times_out_though_the_pools_own_runtime_stands_still() {
    let current = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (home, other) = (current(), current());
    let pool = home.block_on(async { Server::new().builder().acquire_timeout(20 * MS).build().unwrap() });
    let error = other.block_on(async { pool.acquire().await.unwrap_err() });
    assert!(matches!(error, AcquireError::Timeout { .. }), "{error:?}");
    drop(home);
    let error = other.block_on(async { pool.acquire().await.unwrap_err() });
    assert!(matches!(error, AcquireError::Closed), "{error:?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_both_names() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let builder = || Server::new().builder();
    let second = Duration::from_secs(1);
    for (builder, one, other) in [
        (builder().min_idle(3), "min_idle", Some("max_size")),
        (builder().class("a", 2).class("b", 1), "what the classes reserve", Some("max_size")),
        (builder().class("a", 2), "what the classes reserve", Some("max_size")),
        (builder().class("a", 1).class("a", 0), "class", None),
        (builder().check_timeout(6 * second), "check_timeout", Some("acquire_timeout")),
        (builder().keepalive(Some(700 * second)), "keepalive", Some("idle_timeout")),
        (builder().shedding(second, second / 2), "shedding's target", Some("shedding's interval")),
        (builder().backoff(3 * second, second), "backoff's first", Some("backoff's most")),
        (builder().max_uses(Some(0)), "max_uses", None),
        (builder().leak_after(Some(Duration::ZERO)), "leak_after", None),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.setting(), error.other()), (one, other), "{error}");
        assert!(
            error.to_string().contains(one) && error.to_string().contains(other.unwrap_or("")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_died_at_rest_is_handed_to_nobody() {
    let server = Server::new();
    let pool = server.builder().max_size(1).max_waiting(Some(1)).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waits = pin!(pool.acquire());
    let mut later = pin!(pool.acquire());
    let mut context = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    // It is on its way to the first when it dies.
    drop(held);
    assert!(later.as_mut().poll(&mut context).is_pending());
    server.set(|script| script.dead = 0);
    assert!(waits.as_mut().poll(&mut context).is_pending(), "it was handed a dead one");
    server.set(|script| script.dead = usize::MAX);
    let lease = waits.await.unwrap();
    assert_eq!((server.connects(), pool.status().waiting), (2, 1), "and it is the first in line again");
    drop(lease);
    assert!(later.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_evicted_on_its_way_is_handed_to_nobody() {
    let pool = Server::new().builder().max_size(1).build().unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waits = pin!(pool.acquire());
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(held);
    pool.evict();
    assert!(!waits.await.unwrap().is_evicted());
}

#[tokio::test(start_paused = true)]
async fn nobody_tries_to_renew_what_is_gone() {
    let server = Server::new();
    let pool = server.builder().max_lifetime(Some(10_000 * MS)).build().unwrap();
    fill(&pool, 1).await;
    server.set(|script| script.connect = Goes::Wrong);
    sleep(60_000 * MS).await;
    let tried = server.connects();
    sleep(3_600_000 * MS).await;
    assert_eq!(server.connects(), tried, "nobody asks, and nothing is due");
    assert_eq!(pool.status().size, 0);
}

#[test]
fn a_place_is_free_only_when_its_connection_is_dropped() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let server = Server::new();
    let pool = runtime.block_on(async { server.builder().max_size(1).build().unwrap() });
    for _ in 0..500 {
        let lease = runtime.block_on(pool.acquire()).unwrap();
        let waiting = runtime.spawn({
            let (pool, server) = (pool.clone(), server.clone());
            async move {
                let lease = pool.acquire().await.unwrap();
                let alive = server.alive();
                drop(lease);
                alive
            }
        });
        lease.close();
        assert_eq!(runtime.block_on(waiting).unwrap(), 1);
    }
}

#[test]
fn a_caller_in_no_runtime_waits_and_leaves_nothing_behind() {
    let home = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pool = home.block_on(async {
        let pool = Server::new().builder().max_size(1).build().unwrap();
        fill(&pool, 1).await;
        pool
    });
    let held = home.block_on(pool.acquire()).unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waits);
    drop(held);
    assert!(home.block_on(pool.acquire()).is_ok());
}

/// Polls a future so often, lets time pass between, and drops it. Says whether it was ready before.
async fn poll_and_drop<F: Future>(future: F, polls: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            drop(output);
            return true;
        }
        sleep(5 * MS).await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn every_future_may_be_dropped_at_every_poll_whatever_the_manager_does() {
    for connect in ALL {
        for (check, reset, hook) in ALL.iter().flat_map(|check| {
            ALL.iter().flat_map(move |reset| ALL.iter().map(move |hook| (*check, *reset, *hook)))
        }) {
            for polls in 0..7 {
                let bad = Script {
                    connect,
                    check,
                    reset,
                    hook,
                    returned: if reset == Goes::Well { Returned::Clean } else { Returned::Soiled },
                    ..GOOD
                };
                one_drop(bad, polls).await;
            }
        }
    }
}

async fn one_drop(bad: Script, polls: usize) {
    let server = Server::new();
    let hook = server.clone();
    let pool = server
        .builder()
        .check_after(Some(MS))
        .check_timeout(30 * MS)
        .connect_timeout(30 * MS)
        .reset_timeout(30 * MS)
        .acquire_timeout(60 * MS)
        .after_connect(move |_| {
            let goes = hook.script().hook;
            Box::pin(go(goes))
        })
        .build()
        .unwrap();
    // One that rests, and needs a check.
    fill(&pool, 1).await;
    sleep(2 * MS).await;
    server.set(|script| *script = bad);
    poll_and_drop(pool.acquire(), polls).await;
    let (first, second) = (poll_and_drop(pool.acquire(), polls), poll_and_drop(pool.acquire(), 6 - polls));
    tokio::join!(first, second);
    poll_and_drop(pool.close(Instant::now()), 0).await;
    // All is well again, and nothing was lost.
    server.set(|script| *script = GOOD);
    sleep(3000 * MS).await;
    let status = pool.status();
    assert_eq!(
        (status.waiting, status.connecting, status.checking, status.resetting),
        (0, 0, 0, 0),
        "{bad:?} {polls}"
    );
    assert_eq!((status.in_use(), status.idle), (0, server.alive()), "{bad:?} {polls}");
    let both = tokio::try_join!(pool.acquire(), pool.acquire());
    assert!(both.is_ok(), "{bad:?} {polls}: {:?}", both.err());
    drop(both);
    assert!(poll_and_drop(pool.close_within(3000 * MS), 700).await);
    assert_eq!((pool.status().size, server.alive()), (0, 0), "{bad:?} {polls}");
}

#[tokio::test(start_paused = true)]
async fn why_a_check_or_a_reset_failed_is_told() {
    let server = Server::new();
    let told = Told::default();
    let pool = server.builder().max_size(1).check_after(Some(MS)).on_event(told.listener()).build().unwrap();
    let mad = "the connection manager panicked";
    for (goes, check, reset) in [
        (Goes::Wrong, "no", "no"),
        (Goes::Never, "it was not over after 1s", "it was not over after 5s"),
        (Goes::Mad, mad, mad),
    ] {
        fill(&pool, 1).await;
        sleep(10 * MS).await;
        server.set(|script| script.check = goes);
        fill(&pool, 1).await;
        sleep(2000 * MS).await;
        assert_eq!(told.count(&format!("a check of a connection failed: {check}")), 1, "{goes:?}");
        server.set(|script| *script = Script { returned: Returned::Soiled, reset: goes, ..GOOD });
        fill(&pool, 1).await;
        sleep(6000 * MS).await;
        assert_eq!(pool.status().size, 0, "{goes:?}");
        assert_eq!(told.count(&format!("a connection could not be made clean: {reset}")), 1, "{goes:?}");
        server.set(|script| *script = GOOD);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_the_queue_counts_nobody_of_a_later_class() {
    let pool = Server::new().builder().max_size(1).class("web", 0).max_waiting(Some(1)).build().unwrap();
    let _held = pool.acquire().await.unwrap();
    let (mut job, mut web) =
        (pin!(pool.acquire()), pin!(pool.acquire_with(AcquireOptions::new().class("web"))));
    let mut poll = Context::from_waker(Waker::noop());
    assert!(job.as_mut().poll(&mut poll).is_pending());
    assert!(web.as_mut().poll(&mut poll).is_pending(), "it comes before the one that waits");
    assert!(matches!(pool.acquire().await, Err(AcquireError::QueueFull { waiting: 2 })));
}

#[tokio::test(start_paused = true)]
async fn a_weak_handle_keeps_nothing_open_and_a_lease_does() {
    let server = Server::new();
    let pool = server.builder().build().unwrap();
    let weak = pool.downgrade();
    let lease = pool.acquire().await.unwrap();
    assert_eq!(lease.generation(), pool.generation());
    drop(pool);
    let again = weak.upgrade().expect("the lease holds it");
    again.evict_before(lease.generation() + 1);
    assert!(lease.is_evicted() && !again.is_closed());
    again.close_within(MS).await;
    assert!(again.is_closed());
    drop((again, lease));
    assert!(weak.upgrade().is_none());
    assert_eq!(server.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn behind_every_generation_there_is_another() {
    let pool = Server::new().builder().build().unwrap();
    let first = pool.acquire().await.unwrap();
    pool.evict_before(u64::MAX);
    let second = pool.acquire().await.unwrap();
    assert!(first.is_evicted() && !second.is_evicted());
    pool.evict();
    assert!(second.is_evicted());
}

#[tokio::test(start_paused = true)]
async fn what_this_thread_gave_back_last_is_at_hand_as_long_as_anybody_could_have_it() {
    let server = Server::new();
    let pool = server.builder().max_size(1).check_after(Some(1000 * MS)).build().unwrap();
    assert!(pool.at_hand(Instant::now()).is_none(), "none is open");
    fill(&pool, 1).await;
    let lease = pool.at_hand(Instant::now()).unwrap();
    assert_eq!(lease.uses(), 2);
    assert!(pool.at_hand(Instant::now()).is_none(), "it is out");
    let mut waits = pin!(pool.acquire());
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    lease.give_back_at(Instant::now());
    assert!(pool.at_hand(Instant::now()).is_none(), "another one waited for it");
    drop(waits.await.unwrap());
    sleep(1001 * MS).await;
    assert!(pool.at_hand(Instant::now()).is_none(), "it has to be checked");
    fill(&pool, 1).await;
    assert_eq!(server.checks.load(Ordering::SeqCst), 1);
    pool.evict();
    assert!(pool.at_hand(Instant::now()).is_none(), "it is of another generation");
    fill(&pool, 1).await;
    server.set(|script| script.dead = server.alive() - 1);
    assert!(pool.at_hand(Instant::now()).is_none(), "the other side closed it");
    until("it is closed", || server.alive() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn given_back_at_a_time_it_rests_from_then_on() {
    let server = Server::new();
    let pool = server.builder().check_after(Some(1000 * MS)).idle_timeout(None).build().unwrap();
    let lease = pool.acquire().await.unwrap();
    sleep(5000 * MS).await;
    lease.give_back_at(Instant::now());
    sleep(900 * MS).await;
    fill(&pool, 1).await;
    assert_eq!(server.checks.load(Ordering::SeqCst), 0);
    sleep(1001 * MS).await;
    fill(&pool, 1).await;
    assert_eq!(server.checks.load(Ordering::SeqCst), 1);
}
