//! What was promised, what was seen, and whether they agree.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use millpond::Status;

use crate::schema::Scans;
use crate::traffic::{LISTING_AGE, Seen};

/// The share of plain reads that replicas must serve.
const LEAST_SHARE: f64 = 0.90;
/// A killed server forgets what it counted last, so its count may be this much lower than the callers'.
const COUNT_TOLERANCE: f64 = 0.10;

/// Prints the summary; whether every promise was kept.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn conclude(status: &Status, seen: &Seen, scans: &Scans) -> bool {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let plain_reads = count(&seen.plain_reads) as f64;
    let on_replicas: u64 = status.nodes.iter().map(|node| node.reads).sum();
    let share = on_replicas as f64 / plain_reads;
    // Each of the shop's reads scans one of the counted tables once.
    let counted = scans.on_replicas() as f64 / plain_reads;
    let written_on_replicas: i64 = scans.written().skip(1).sum();
    let errors = seen.errors.lock().unwrap_or_else(PoisonError::into_inner);

    println!("\n{status}\n");
    println!("{plain_reads} plain reads, {} checkouts", count(&seen.checkouts));
    for (node, rows) in status.nodes.iter().zip(scans.written()) {
        println!("{rows} rows written on {}", node.name);
    }
    for error in errors.iter().take(5) {
        println!("  {error}");
    }
    let promises = [
        (
            share >= LEAST_SHARE,
            format!(
                "{:.1} % of the plain reads ran on replicas (at least {:.0} %)",
                share * 100.0,
                LEAST_SHARE * 100.0
            ),
        ),
        (
            (share - counted).abs() <= COUNT_TOLERANCE,
            format!("{:.1} % by the servers' own statistics", counted * 100.0),
        ),
        (
            written_on_replicas == 0 && status.healed == 0,
            format!("{written_on_replicas} rows written on replicas, {} writes refused there", status.healed),
        ),
        (
            count(&seen.own_writes_missed) == 0,
            format!("{} own writes not seen", count(&seen.own_writes_missed)),
        ),
        (
            count(&seen.too_old) == 0,
            format!("{} listings older than the {} s allowed", count(&seen.too_old), LISTING_AGE.as_secs()),
        ),
        (errors.is_empty(), format!("{} errors seen by callers", errors.len())),
    ];
    for (is_kept, what) in &promises {
        println!("{} {what}", if *is_kept { "kept  " } else { "BROKEN" });
    }
    promises.iter().all(|(is_kept, _)| *is_kept)
}
