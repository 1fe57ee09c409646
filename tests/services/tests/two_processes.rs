//! Two processes of one service while a replica lags: what is written by one is read from the other.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use millpond_service_tests::{Client, Service, cluster, looks_of_replicas};
use serde_json::json;

/// Less than what the service allows its reads to lag, so that they go to this replica.
const DELAY: Duration = Duration::from_millis(300);

const CLIENTS: usize = 8;

/// Whether a client brings the token of its write when it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Brought,
    Left,
}

/// What became of the reads.
#[derive(Debug)]
struct Outcome {
    reads: usize,
    stale: usize,
    by_replicas: Vec<(String, usize)>,
    took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, stale, by_replicas, took } = self;
        write!(f, "{reads} reads in {took:.1?}, {stale} stale, served by")?;
        for (name, served) in by_replicas {
            write!(f, " {name}: {served},")?;
        }
        let primary = reads.saturating_sub(by_replicas.iter().map(|(_, served)| served).sum());
        write!(f, " the primary: {primary}")
    }
}

fn rounds_wanted(unless_said: usize) -> usize {
    env::var("ROUNDS").map_or(unless_said, |rounds| rounds.parse().expect("ROUNDS is a number"))
}

/// A write to one process, and a read of it from the other. Returns whether it was there.
async fn round(number: usize, one: &Client, other: &Client, pond: i64, token: Token) -> bool {
    // By a statement of its own, and by a transaction.
    let (write, read, body) = match number % 2 {
        0 => ("/items".to_owned(), "/items", json!({ "name": format!("item {number}"), "stock": 1 })),
        _ => (format!("/items/{pond}/orders"), "/orders", json!({ "count": 1 })),
    };
    let written = one.post(&write, &body).await;
    assert_eq!(written.status, 201, "{written:?}");
    let path = format!("{read}/{}", written.id());
    let found = match token {
        Token::Brought => {
            assert!(written.token.is_some(), "a write has a token: {written:?}");
            other.get_behind(&written, &path).await
        }
        Token::Left => other.get(&path).await,
    };
    assert!(matches!(found.status, 200 | 404), "{found:?}");
    found.status == 200
}

async fn rounds(service: &str, count: usize, token: Token) -> Outcome {
    let lab = cluster().await;
    let url = lab.url("postgres");
    let (a, b) = (Service::start(service, &url).await, Service::start(service, &url).await);
    let (one, other) = (a.client(), b.client());
    let pond = one.post("/items", &json!({ "name": "pond", "stock": 1_000_000 })).await.id();
    lab.caught_up().await.expect("replicas catch up");
    lab.node("db-1").expect("a replica").delay_replay(DELAY).await.expect("it lags");

    let (begun, next, stale) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = async || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        if !round(number, &one, &other, pond, token).await {
            stale.fetch_add(1, Ordering::Relaxed);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
    let took = begun.elapsed();

    drop((a, b));
    let by_replicas = looks_of_replicas(&lab).await;
    Outcome { reads: count, stale: stale.into_inner(), by_replicas, took }
}

async fn no_read_is_stale(service: &str, count: usize) {
    let outcome = rounds(service, rounds_wanted(count), Token::Brought).await;
    println!("{service} with the token: {outcome}");
    assert_eq!(outcome.stale, 0, "{outcome}");
    let by_replicas: usize = outcome.by_replicas.iter().map(|(_, served)| served).sum();
    assert!(by_replicas > 0, "not all go to the primary: {outcome}");
}

/// That the other test can fail.
async fn some_are_without_the_token(service: &str) {
    let outcome = rounds(service, rounds_wanted(1_000).min(1_000), Token::Left).await;
    println!("{service} without the token: {outcome}");
    assert!(outcome.stale > 0, "{outcome}");
}

#[tokio::test]
async fn ten_thousand_rounds_between_two_processes_of_after_sqlx() {
    no_read_is_stale("after-sqlx", 10_000).await;
}

#[tokio::test]
async fn two_thousand_rounds_between_two_processes_of_after_sea_orm() {
    no_read_is_stale("after-sea-orm", 2_000).await;
}

#[tokio::test]
async fn two_thousand_rounds_between_two_processes_of_after_diesel() {
    no_read_is_stale("after-diesel", 2_000).await;
}

#[tokio::test]
async fn without_the_token_the_same_rounds_of_after_sqlx_see_stale_reads() {
    some_are_without_the_token("after-sqlx").await;
}

#[tokio::test]
async fn without_the_token_the_same_rounds_of_after_sea_orm_see_stale_reads() {
    some_are_without_the_token("after-sea-orm").await;
}

#[tokio::test]
async fn without_the_token_the_same_rounds_of_after_diesel_see_stale_reads() {
    some_are_without_the_token("after-diesel").await;
}
