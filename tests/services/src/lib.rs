//! What the tests of the example services share: a service as a process, its clients, and waiting for what is seen.
//!
//! The services are programs of their own, each the form before or after a change of pools, and know nothing of these tests.

mod client;
mod process;

use std::time::{Duration, Instant};

use millpond_lab::{Lab, Node};
use tokio::time::interval;

pub use client::{Answer, Client};
pub use process::Service;

/// The services, each a package with a program of its name.
pub const SERVICES: [&str; 8] = [
    "before-sqlx",
    "after-sqlx",
    "before-deadpool",
    "after-deadpool",
    "before-sea-orm",
    "after-sea-orm",
    "before-diesel",
    "after-diesel",
];

/// A primary and two replicas.
///
/// # Panics
///
/// When they do not come up.
pub async fn cluster() -> Lab {
    Lab::builder().replicas(2).up().await.expect("the lab comes up")
}

/// Waits until something is so.
///
/// # Panics
///
/// When it is not within 20 s.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), interval(Duration::from_millis(20)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

/// How often each replica has looked into the tables of a service, once no service is connected any more: what a connection did is counted
/// when it is over, at the latest.
///
/// # Panics
///
/// When one does not answer, or a service stays connected.
pub async fn looks_of_replicas(lab: &Lab) -> Vec<(String, usize)> {
    let mut counts = Vec::new();
    for replica in lab.replicas() {
        let others = "select count(*)::text from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        until("nobody is connected", async || ask(replica, others).await == 0).await;
        let looks = "select coalesce(sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)), 0)::text
                     from pg_stat_user_tables where relname in ('items', 'orders')";
        counts.push((replica.name().to_owned(), ask(replica, looks).await));
    }
    counts
}

async fn ask(node: &Node, count: &str) -> usize {
    let answer = node.ask("postgres", count).await.expect("a node answers");
    answer.expect("a count is a row").parse().expect("a count is a number")
}
