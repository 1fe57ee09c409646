//! What goes wrong in pools: each scenario puts one of them into a situation that broke a real one.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use millpond_benches::spread::percentile;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::pools::{Pool, Settings, bb8, deadpool, fast_pool, millpond, mobc};
use crate::server::{Server, Step, WORDS};

const MS: Duration = Duration::from_millis(1);

/// How long a scenario may take, before it counts as one that never ends.
const LONGEST: Duration = Duration::from_secs(20);

/// What came of a scenario for one pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether it went well. `None` where the pool has nothing of the kind.
    pub holds: Option<bool>,
    /// What was seen.
    pub figure: String,
}

impl Verdict {
    /// What [`word`](Self::word) gave, with its figure.
    #[must_use]
    pub fn read(word: &str, figure: &str) -> Self {
        let holds = match word {
            "holds" => Some(true),
            "FAILS" => Some(false),
            _ => None,
        };
        Self { holds, figure: figure.to_owned() }
    }

    /// Whether it went well, as a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "FAILS",
            None => "-",
        }
    }

    fn new(holds: bool, figure: impl Into<String>) -> Self {
        Self { holds: Some(holds), figure: figure.into() }
    }

    fn nothing(what: &str) -> Self {
        Self { holds: None, figure: what.to_owned() }
    }
}

type Run = fn() -> Result<Verdict>;

/// A situation, and every pool in it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name, as the harness has it: `T1`.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What has to come of it.
    pub wanted: &'static str,
    /// Each pool by its name.
    pub runs: [(&'static str, Run); 5],
}

macro_rules! scenario {
    ($name:literal, $function:ident, $what:literal, $wanted:literal) => {
        Scenario {
            name: $name,
            what: $what,
            wanted: $wanted,
            runs: [
                (millpond::Millpond::NAME, || apart($function::<millpond::Millpond>())),
                (deadpool::Deadpool::NAME, || apart($function::<deadpool::Deadpool>())),
                (bb8::Bb8::NAME, || apart($function::<bb8::Bb8>())),
                (mobc::Mobc::NAME, || apart($function::<mobc::Mobc>())),
                (fast_pool::FastPool::NAME, || apart($function::<fast_pool::FastPool>())),
            ],
        }
    };
}

/// All that there are.
pub const SCENARIOS: [Scenario; 11] = [
    scenario!(
        "T1",
        aborted_waiter,
        "one connection, two waiters; the first is dropped after it was woken and before it was polled",
        "the second is served at once"
    ),
    scenario!(
        "T2",
        fairness,
        "1000 tasks on 50 connections, each held for 1 to 5 ms, for 3 s",
        "the most served task has at most twice what the least served has"
    ),
    scenario!(
        "T3",
        connect_storm,
        "connects take 200 ms, callers wait for 150 ms at most and come again at once",
        "no connection is opened and thrown away"
    ),
    scenario!(
        "T4",
        cancelled_check,
        "100 acquires are dropped while their connection is checked",
        "no connection is closed"
    ),
    scenario!(
        "T6",
        black_hole,
        "four idle connections whose check never ends; then new ones open well",
        "a caller is served within its 2 s"
    ),
    scenario!(
        "T7",
        refused,
        "the server refuses every connection for a second of ten callers, then takes them again",
        "the first error comes within 100 ms with the cause; less than 100 tries; served within 1.5 s after"
    ),
    scenario!(
        "T8",
        lifetimes,
        "20 connections are opened together, connects take 100 ms, the lifetime is 1.5 s, for 3 s under load",
        "no caller waits for as long as a connect"
    ),
    scenario!(
        "T9",
        burst,
        "20 connections in a burst, then one caller every 20 ms; the idle timeout is 300 ms",
        "at most three connections are left after 1.5 s"
    ),
    scenario!(
        "T12",
        dropped_outside,
        "a lease is dropped outside of a runtime, another after the runtime has ended",
        "nothing panics, and the first connection is used again"
    ),
    scenario!(
        "T13",
        resized,
        "the size goes from 10 to 5 and back to 10 while 15 tasks use it",
        "never more than 5 connections after the first change, and 10 in the end"
    ),
    scenario!(
        "T14",
        closed,
        "the pool is closed with a limit of 200 ms while a lease is out and a caller waits",
        "close returns within a second, the waiter is told, and the lease's connection closes with it"
    ),
];

/// Runs a scenario in a thread and a runtime of its own, which may panic or never end.
fn apart(scenario: impl Future<Output = Result<Verdict>> + Send + 'static) -> Result<Verdict> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let outcome = runtime.context("no runtime").and_then(|runtime| {
            let outcome = runtime.block_on(async { tokio::spawn(scenario).await });
            runtime.shutdown_background();
            outcome.unwrap_or_else(|panic| Ok(Verdict::new(false, format!("panics: {panic}"))))
        });
        // Nobody hears it when the time is over.
        let _ = done.send(outcome);
    });
    result.recv_timeout(LONGEST).unwrap_or_else(|_| Ok(Verdict::new(false, "does not end")))
}

/// Polls a future once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn failed(text: String) -> anyhow::Error {
    anyhow::Error::msg(text)
}

async fn fill<P: Pool>(pool: &P, connections: usize) -> Result<()> {
    let mut leases = Vec::new();
    for _ in 0..connections {
        leases.push(pool.take().await.map_err(failed)?);
    }
    drop(leases);
    // Some pools take connections back in a task.
    sleep(20 * MS).await;
    Ok(())
}

async fn aborted_waiter<P: Pool>() -> Result<Verdict> {
    let pool = P::open(&Server::default(), Settings::of(1)).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let held = pool.take().await.map_err(failed)?;
        let mut first = Box::pin(pool.take());
        let mut second = Box::pin(pool.take());
        let _ = (poll(first.as_mut()), poll(second.as_mut()));
        drop(held);
        drop(first);
        let asked = Instant::now();
        if second.await.is_err() {
            return Ok(Verdict::new(false, "the second is never served"));
        }
        slowest = slowest.max(asked.elapsed());
        sleep(MS).await;
    }
    Ok(Verdict::new(slowest < 50 * MS, format!("served after {slowest:.1?}")))
}

async fn fairness<P: Pool>() -> Result<Verdict> {
    let settings = Settings { wait: Duration::from_secs(10), ..Settings::of(50) };
    let pool = P::open(&Server::default(), settings).await?;
    let end = Instant::now() + Duration::from_secs(3);
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (mut served, mut waits) = (0_u64, Vec::new());
                while Instant::now() < end {
                    let asked = Instant::now();
                    let Ok(lease) = pool.take().await else { continue };
                    waits.push(asked.elapsed());
                    served += 1;
                    sleep(MS * fastrand::u32(1..=5)).await;
                    drop(lease);
                }
                (served, waits)
            })
        })
        .collect();
    let (mut least, mut most, mut waits) = (u64::MAX, 0, Vec::new());
    for task in tasks {
        let (served, waited) = task.await?;
        (least, most) = (least.min(served), most.max(served));
        waits.extend(waited);
    }
    waits.sort_unstable();
    let at = |percent| percentile(&waits, percent).unwrap_or_default();
    let figure =
        format!("{most} and {least}; waits: {:.0?} median, {:.0?} of the last hundredth", at(50), at(99));
    Ok(Verdict::new(most <= 2 * least, figure))
}

async fn connect_storm<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    server.set_connect(Step::Slowly(200 * MS));
    let settings = Settings { wait: 150 * MS, ..Settings::of(5) };
    let Ok(opened) = timeout(Duration::from_secs(2), P::open(&server, settings)).await else {
        return Ok(Verdict::new(false, "does not open"));
    };
    let pool = opened?;
    let end = Instant::now() + Duration::from_secs(2);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                while Instant::now() < end {
                    if let Ok(lease) = pool.take().await {
                        sleep(30 * MS).await;
                        drop(lease);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    sleep(300 * MS).await;
    let (tried, alive) = (server.tried(), server.alive());
    Ok(Verdict::new(tried <= 5 && alive > 0, format!("{tried} tries for {alive} connections")))
}

async fn cancelled_check<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let settings = Settings { checks: true, ..Settings::of(1) };
    let pool = P::open(&server, settings).await?;
    fill(&pool, 1).await?;
    server.set_check(Step::Slowly(20 * MS));
    let before = server.accepted();
    for _ in 0..100 {
        let mut take = Box::pin(pool.take());
        let _ = timeout(2 * MS, take.as_mut()).await;
        drop(take);
    }
    server.set_check(Step::Well);
    sleep(50 * MS).await;
    drop(pool.take().await);
    let closed = server.accepted() - before;
    Ok(Verdict::new(closed == 0, format!("{closed} closed")))
}

async fn black_hole<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let settings = Settings { checks: true, wait: Duration::from_secs(2), ..Settings::of(4) };
    let pool = P::open(&server, settings).await?;
    fill(&pool, 4).await?;
    server.set_check(Step::Never);
    let asked = Instant::now();
    let served = pool.take().await.is_ok();
    let took = asked.elapsed();
    let figure = format!("{} after {took:.1?}", if served { "served" } else { "an error" });
    Ok(Verdict::new(served && took < Duration::from_secs(2), figure))
}

async fn refused<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    server.set_connect(Step::Refused);
    let settings = Settings { wait: Duration::from_secs(3), ..Settings::of(10) };
    let Ok(opened) = timeout(Duration::from_secs(1), P::open(&server, settings)).await else {
        return Ok(Verdict::new(false, "does not open"));
    };
    let pool = opened?;
    let (begun, end) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let first = Arc::new(AtomicU64::new(u64::MAX));
    let named = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (pool, first, named) = (pool.clone(), Arc::clone(&first), Arc::clone(&named));
            tokio::spawn(async move {
                while Instant::now() < end {
                    if let Err(text) = pool.take().await {
                        let after = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                        first.fetch_min(after, Ordering::SeqCst);
                        named.fetch_add(usize::from(text.contains(WORDS)), Ordering::SeqCst);
                    }
                    sleep(5 * MS).await;
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let tried = server.tried();
    server.set_connect(Step::Well);
    let well = Instant::now();
    let mut back = None;
    while well.elapsed() < Duration::from_secs(4) {
        if pool.take().await.is_ok() {
            back = Some(well.elapsed());
            break;
        }
        sleep(5 * MS).await;
    }
    for caller in callers {
        caller.await?;
    }
    let (first, has_cause) = (first.load(Ordering::SeqCst), named.load(Ordering::SeqCst) > 0);
    let told =
        if first == u64::MAX { "no error".to_owned() } else { format!("first error after {first} ms") };
    let cause = if has_cause { "with" } else { "without" };
    let again =
        back.map_or_else(|| "not served again".to_owned(), |back| format!("served again after {back:.0?}"));
    let figure = format!("{told}, {cause} the cause; {tried} tries; {again}");
    let is_soon = back.is_some_and(|back| back < 1500 * MS);
    Ok(Verdict::new(first <= 100 && has_cause && tried < 100 && is_soon, figure))
}

async fn lifetimes<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let settings = Settings { lifetime: Some(1500 * MS), wait: Duration::from_secs(5), ..Settings::of(20) };
    let pool = P::open(&server, settings).await?;
    fill(&pool, 20).await?;
    let before = server.accepted();
    server.set_connect(Step::Slowly(100 * MS));
    let end = Instant::now() + Duration::from_secs(3);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while Instant::now() < end {
                    let asked = Instant::now();
                    drop(pool.take().await);
                    longest = longest.max(asked.elapsed());
                    sleep(2 * MS).await;
                }
                longest
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    for task in tasks {
        longest = longest.max(task.await?);
    }
    let renewed = server.accepted() - before;
    if renewed == 0 {
        return Ok(Verdict::nothing("has no lifetime"));
    }
    Ok(Verdict::new(longest < 50 * MS, format!("{renewed} renewed, the longest wait {longest:.1?}")))
}

async fn burst<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let pool = P::open(&server, Settings { idle: Some(300 * MS), ..Settings::of(20) }).await?;
    fill(&pool, 20).await?;
    let end = Instant::now() + 1500 * MS;
    while Instant::now() < end {
        drop(pool.take().await);
        sleep(20 * MS).await;
    }
    let left = server.alive();
    Ok(Verdict::new(left <= 3, format!("{left} left")))
}

async fn dropped_outside<P: Pool>() -> Result<Verdict> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let run = || -> Result<Verdict> {
            let server = Server::default();
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let (pool, outside, after) = runtime.block_on(async {
                let pool = P::open(&server, Settings::of(2)).await?;
                let (outside, after) = (pool.take().await, pool.take().await);
                anyhow::Ok((pool, outside.map_err(failed)?, after.map_err(failed)?))
            })?;
            drop(outside);
            let again = runtime.block_on(pool.take()).is_ok();
            let accepted = server.accepted();
            drop(runtime);
            drop(after);
            drop(pool);
            Ok(Verdict::new(
                again && accepted == 2,
                format!("{accepted} connections for two leases and one again"),
            ))
        };
        let outcome = std::panic::catch_unwind(run);
        // Nobody hears it when the time is over.
        let _ = done.send(outcome.unwrap_or_else(|_| Ok(Verdict::new(false, "panics"))));
    });
    tokio::task::spawn_blocking(move || result.recv().context("it ended")?).await?
}

async fn resized<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let pool = P::open(&server, Settings { wait: Duration::from_secs(5), ..Settings::of(10) }).await?;
    if pool.resize(10).is_none() {
        return Ok(Verdict::nothing("cannot be resized"));
    }
    let end = Instant::now() + Duration::from_secs(1);
    let tasks: Vec<_> = (0..15)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                while Instant::now() < end {
                    if let Ok(lease) = pool.take().await {
                        sleep(3 * MS).await;
                        drop(lease);
                    }
                }
            })
        })
        .collect();
    // Before all are open: the pool is part-filled.
    sleep(MS).await;
    pool.resize(5);
    sleep(100 * MS).await;
    server.take_most();
    sleep(300 * MS).await;
    let small = server.take_most();
    pool.resize(10);
    for task in tasks {
        task.await?;
    }
    let large = server.take_most();
    Ok(Verdict::new(small <= 5 && large == 10, format!("{small} of 5, then {large} of 10")))
}

async fn closed<P: Pool>() -> Result<Verdict> {
    let server = Server::default();
    let pool = P::open(&server, Settings { wait: Duration::from_secs(5), ..Settings::of(1) }).await?;
    let held = pool.take().await.map_err(failed)?;
    let mut waits = pin!(pool.take());
    let _ = poll(waits.as_mut());
    let asked = Instant::now();
    match timeout(Duration::from_secs(2), pool.close(200 * MS)).await {
        Err(_) => return Ok(Verdict::new(false, "close does not return within 2 s")),
        Ok(None) => return Ok(Verdict::nothing("cannot be closed")),
        Ok(Some(())) => {}
    }
    let took = asked.elapsed();
    let is_told = matches!(timeout(500 * MS, waits).await, Ok(Err(_)));
    drop(held);
    sleep(50 * MS).await;
    let left = server.alive();
    let told = if is_told { "the waiter is told" } else { "the waiter is not told" };
    let figure = format!("returns after {took:.0?}, {told}, {left} left in the end");
    Ok(Verdict::new(took < Duration::from_secs(1) && is_told && left == 0, figure))
}
