//! What goes wrong in pools of connections to a database.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use millpond_lab::{Lab, StopMode};
use tokio::time::{sleep, timeout};

use super::{MS, Verdict, failed};
use crate::bed::{Kind, Upstream};
use crate::pools::Database;
use crate::server::{Server, Step};

pub(super) async fn cancelled_begin<D: Database>(upstream: Upstream) -> Result<Verdict> {
    let ask = |sql| upstream.ask(D::KIND, sql);
    ask("drop table if exists t5; create table t5 (n int)").await?;
    let server = Server::behind_gate(&upstream)?;
    let pool = D::open(&server, 1).await?;
    let (mut lost, mut refused) = ([0, 0], 0);
    let mut inserted = 0;
    for round in 0..60_u32 {
        let (way, after) = (round as usize % 2, MS * (round / 2));
        // A connection is there, and what is said to the server takes its time.
        pool.run("select 1").await.map_err(failed)?;
        server.set_check(Step::Slowly(10 * MS));
        let begun = async {
            match way {
                0 => pool.transact().await,
                _ => pool.begin_as_text().await,
            }
        };
        let _ = timeout(after, begun).await;
        server.set_check(Step::Well);
        if pool.run("insert into t5 values (1)").await.is_err() {
            refused += 1;
            continue;
        }
        inserted += 1;
        let seen = ask("select count(*) from t5").await?.context("no count")?;
        if seen < inserted {
            lost[way] += 1;
            // So that it is counted once, and the next round begins with nothing open.
            let _ = pool.run("commit").await;
            inserted = ask("select count(*) from t5").await?.context("no count")?;
        }
    }
    let figure = format!(
        "{} rows not committed behind a call, {} behind a text, {refused} inserts refused",
        lost[0], lost[1]
    );
    Ok(Verdict::new(lost == [0, 0] && refused == 0, figure))
}

pub(super) async fn moved_primary<D: Database>(_: Upstream) -> Result<Verdict> {
    if !D::KNOWS_HOSTS {
        return Ok(Verdict::nothing("knows one host"));
    }
    let lab = Lab::builder().replicas(1).up().await?;
    let (old, new) = (lab.primary(), lab.node("db-1")?);
    old.ask("postgres", "create table t10 (n int)").await?;
    lab.caught_up().await?;
    let nodes = [old, new].map(|node| Upstream::postgres(node.direct_port()));
    let pool = D::open(&Server::cluster(nodes.to_vec()), 4).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut inserts = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let insert = timeout(Duration::from_secs(3), pool.run("insert into t10 values (1)")).await;
                let result = insert.unwrap_or_else(|_| Err("no answer within 3 s".to_owned()));
                inserts.push((Instant::now(), result));
                sleep(10 * MS).await;
            }
            inserts
        }
    });
    sleep(200 * MS).await;
    old.stop(StopMode::Fast).await?;
    new.promote().await?;
    let promoted = Instant::now();
    sleep(500 * MS).await;
    old.follow(new).await?;
    let rejoined = Instant::now();
    sleep(Duration::from_secs(5)).await;
    is_over.store(true, Ordering::SeqCst);
    let inserts = writer.await?;
    lab.down().await?;
    let back = inserts.iter().find(|(at, result)| *at > promoted && result.is_ok());
    let back = back.map(|(at, _)| at.saturating_duration_since(promoted));
    let failed =
        inserts.iter().filter(|(at, _)| *at > rejoined).find_map(|(_, result)| result.as_ref().err());
    let mut figure = back.map_or_else(|| "no insert".to_owned(), |back| format!("inserts after {back:.0?}"));
    if let Some(error) = failed {
        write!(figure, "; once the old primary is back: {error}")?;
    }
    let is_soon = back.is_some_and(|back| back < Duration::from_secs(5));
    Ok(Verdict::new(is_soon && failed.is_none(), figure))
}

pub(super) async fn changed_rows<D: Database>(upstream: Upstream) -> Result<Verdict> {
    if !D::KEEPS_STATEMENTS {
        return Ok(Verdict::nothing("keeps no statements"));
    }
    let ask = |sql| upstream.ask(D::KIND, sql);
    ask("drop table if exists t11; create table t11 (a int); insert into t11 values (1)").await?;
    let pool = D::open(&Server::behind_gate(&upstream)?, 1).await?;
    let columns = || pool.columns("select * from t11");
    for _ in 0..3 {
        let before = columns().await.map_err(failed)?;
        anyhow::ensure!(before == 1, "{before} columns of one");
    }
    ask("alter table t11 add column b int").await?;
    let mut errors = Vec::new();
    let mut seen = 0;
    for _ in 0..3 {
        match columns().await {
            Ok(count) => seen = count,
            Err(error) => errors.push(error),
        }
    }
    let figure = match errors.first() {
        None => format!("no error, {seen} columns"),
        Some(error) => format!("{} of 3 fail: {error}", errors.len()),
    };
    Ok(Verdict::new(errors.is_empty() && seen == 2, figure))
}

pub(super) async fn half_read<D: Database>(upstream: Upstream) -> Result<Verdict> {
    let (rows, count) = match D::KIND {
        Kind::Postgres => (
            "select repeat('x', 100) from generate_series(1, 30000000)",
            "select count(*) from pg_stat_activity where state = 'active' and query like 'select repeat%'",
        ),
        Kind::Mysql => (
            "select repeat('x', 100) from information_schema.columns a, information_schema.columns b",
            "select count(*) from information_schema.processlist where info like 'select repeat%'",
        ),
    };
    let pool = D::open(&Server::behind_gate(&upstream)?, 1).await?;
    pool.run("select 1").await.map_err(failed)?;
    pool.glance(rows).await.map_err(failed)?;
    let asked = Instant::now();
    let next = timeout(Duration::from_secs(10), pool.run("select 1")).await;
    let took = asked.elapsed();
    let next = match next {
        Ok(Ok(())) => format!("the next after {took:.1?}"),
        Ok(Err(error)) => format!("an error after {took:.1?}: {error}"),
        Err(_) => "no answer within 10 s".to_owned(),
    };
    let is_served = next.starts_with("the next") && took < Duration::from_secs(1);
    let mut goes_on = true;
    let until = Instant::now() + 500 * MS;
    while goes_on && Instant::now() < until {
        goes_on = upstream.ask(D::KIND, count).await?.context("no count")? > 0;
        sleep(10 * MS).await;
    }
    let first = if goes_on { "goes on" } else { "is over" };
    Ok(Verdict::new(is_served && !goes_on, format!("{next}; the first {first} on the server")))
}
