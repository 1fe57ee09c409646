//! What goes wrong in any pool, whatever it holds.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

use super::{MS, Verdict, failed};
use crate::pools::{Pool, Settings};
use crate::server::{Server, Step, WORDS};

/// Polls a future once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
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

pub(super) async fn aborted_waiter<P: Pool>(server: Server) -> Result<Verdict> {
    let pool = P::open(&server, Settings::of(1)).await?;
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

pub(super) async fn fairness<P: Pool>(server: Server) -> Result<Verdict> {
    let settings = Settings { wait: Duration::from_secs(10), ..Settings::of(50) };
    let pool = P::open(&server, settings).await?;
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

pub(super) async fn connect_storm<P: Pool>(server: Server) -> Result<Verdict> {
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
                    // From outside too: not all limit how long a caller waits for a connect of its own.
                    if let Ok(Ok(lease)) = timeout(150 * MS, pool.take()).await {
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

pub(super) async fn cancelled_check<P: Pool>(server: Server) -> Result<Verdict> {
    let settings = Settings { checks: true, ..Settings::of(1) };
    let pool = P::open(&server, settings).await?;
    let (mut dropped, mut closed) = (0, 0);
    for _ in 0..100 {
        fill(&pool, 1).await?;
        let before = server.accepted();
        server.set_check(Step::Slowly(20 * MS));
        let mut take = Box::pin(pool.take());
        dropped += usize::from(timeout(2 * MS, take.as_mut()).await.is_err());
        drop(take);
        server.set_check(Step::Well);
        drop(pool.take().await);
        closed += usize::from(server.accepted() > before);
    }
    if dropped == 0 {
        return Ok(Verdict::nothing("asks the server nothing before a connection is used again"));
    }
    Ok(Verdict::new(closed == 0, format!("{closed} closed, for {dropped} dropped")))
}

pub(super) async fn black_hole<P: Pool>(server: Server) -> Result<Verdict> {
    let settings = Settings { checks: true, wait: Duration::from_secs(2), ..Settings::of(4) };
    let pool = P::open(&server, settings).await?;
    fill(&pool, 4).await?;
    server.go_deaf();
    let before = server.accepted();
    let asked = Instant::now();
    let served = pool.take().await.is_ok();
    let (took, is_new) = (asked.elapsed(), server.accepted() > before);
    let what = match (served, is_new) {
        (true, true) => "served",
        (true, false) => "served with a connection that hears nothing",
        (false, _) => "an error",
    };
    let is_good = served && is_new && took < Duration::from_secs(2);
    Ok(Verdict::new(is_good, format!("{what} after {took:.1?}")))
}

pub(super) async fn refused<P: Pool>(server: Server) -> Result<Verdict> {
    server.set_connect(Step::Refused);
    let refusals = server.refusals();
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
                        let is_named = WORDS.iter().any(|words| text.to_lowercase().contains(words));
                        named.fetch_add(usize::from(is_named), Ordering::SeqCst);
                    }
                    sleep(5 * MS).await;
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let tried = server.refusals().zip(refusals).map(|(now, before)| now - before);
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
    let tries = tried.map_or_else(|| "tries not seen".to_owned(), |tried| format!("{tried} tries"));
    let figure = format!("{told}, {cause} the cause; {tries}; {again}");
    let is_soon = back.is_some_and(|back| back < 1500 * MS);
    let is_patient = tried.is_none_or(|tried| tried < 100);
    Ok(Verdict::new(first <= 100 && has_cause && is_patient && is_soon, figure))
}

pub(super) async fn lifetimes<P: Pool>(server: Server) -> Result<Verdict> {
    let settings = Settings { lifetime: Some(2000 * MS), wait: Duration::from_secs(5), ..Settings::of(20) };
    let pool = P::open(&server, settings).await?;
    fill(&pool, 20).await?;
    let before = server.accepted();
    server.set_connect(Step::Slowly(100 * MS));
    let end = Instant::now() + Duration::from_secs(4);
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

pub(super) async fn burst<P: Pool>(server: Server) -> Result<Verdict> {
    if !P::HAS_IDLE_TIMEOUT {
        return Ok(Verdict::nothing("has no limit for rest"));
    }
    let pool = P::open(&server, Settings { idle: Some(1000 * MS), ..Settings::of(20) }).await?;
    fill(&pool, 20).await?;
    let end = Instant::now() + 4000 * MS;
    while Instant::now() < end {
        drop(pool.take().await);
        sleep(20 * MS).await;
    }
    let left = server.alive();
    Ok(Verdict::new(left <= 3, format!("{left} left")))
}

pub(super) async fn dropped_outside<P: Pool>(server: Server) -> Result<Verdict> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let run = || -> Result<Verdict> {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let (pool, outside, after) = runtime.block_on(async {
                let pool = P::open(&server, Settings::of(2)).await?;
                let (outside, after) = (pool.take().await, pool.take().await);
                anyhow::Ok((pool, outside.map_err(failed)?, after.map_err(failed)?))
            })?;
            let panics = |what: P::Lease| catch_unwind(AssertUnwindSafe(|| drop(what))).is_err();
            let of_outside = panics(outside);
            // Some pools take connections back in a task.
            runtime.block_on(async { sleep(50 * MS).await });
            let again = runtime.block_on(pool.take()).is_ok();
            let accepted = server.accepted();
            drop(runtime);
            let of_after = panics(after);
            let pool_panics = catch_unwind(AssertUnwindSafe(|| drop(pool))).is_err();
            let mut figure = format!("{accepted} connections for two leases and one again");
            for (panics, what) in [
                (of_outside, "; a panic outside of the runtime"),
                (of_after, "; a panic behind its end"),
                (pool_panics, "; a panic with the pool"),
            ] {
                figure += if panics { what } else { "" };
            }
            let is_calm = !of_outside && !of_after && !pool_panics;
            Ok(Verdict::new(again && accepted == 2 && is_calm, figure))
        };
        // Nobody hears it when the time is over.
        let _ = done.send(run());
    });
    tokio::task::spawn_blocking(move || result.recv().context("it panics")?).await?
}

pub(super) async fn resized<P: Pool>(server: Server) -> Result<Verdict> {
    let pool = P::open(&server, Settings { wait: Duration::from_secs(5), ..Settings::of(10) }).await?;
    if pool.resize(10).await.is_none() {
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
    pool.resize(5).await;
    sleep(100 * MS).await;
    server.take_most();
    sleep(300 * MS).await;
    let small = server.take_most();
    pool.resize(10).await;
    for task in tasks {
        task.await?;
    }
    let large = server.take_most();
    Ok(Verdict::new(small <= 5 && large == 10, format!("{small} of 5, then {large} of 10")))
}

pub(super) async fn closed<P: Pool>(server: Server) -> Result<Verdict> {
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
