//! The group `route`: what routing costs, without a server.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::figures::Report;
use millpond_benches::machine::versions;
use millpond_benches::pools::{Bed, SCENARIOS};
use millpond_benches::rounds::interleave;
use millpond_benches::route::{COLUMNS, PACKAGES, REFERENCE, checks, figures, systems};
use millpond_benches::table::table;

/// Measures routing without a server: a table on standard output, and target/figures/route.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rounds, shorter runs.
    #[arg(long)]
    quick: bool,
    /// How often each has its turn. 9, quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a run lasts. 300, quick 100.
    #[arg(long)]
    window_ms: Option<u64>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, window) = if arguments.quick { (3, 100) } else { (9, 300) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let window = Duration::from_millis(arguments.window_ms.unwrap_or(window));
    ensure!(rounds > 0, "--rounds must be more than 0");
    ensure!(!window.is_zero(), "--window-ms must be more than 0");
    if cfg!(debug_assertions) {
        eprintln!("this is a development build: its figures say nothing; use --release");
    }
    let mut report = Report::new("route", versions(&PACKAGES));
    // One task, one worker: a checkout at its cheapest.
    let bed = Bed { scenario: SCENARIOS[0], workers: 1, window };
    let measured = interleave(bed.name(), &bed, &systems(), rounds)?;
    println!("\n{}", table(&measured, &COLUMNS, REFERENCE));
    report.figures.extend(figures(&measured));
    report.checks.extend(checks(&measured));
    report.end(arguments.strict)
}
