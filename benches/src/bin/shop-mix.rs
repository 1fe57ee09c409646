//! The group `shop-mix`: a shop's traffic by one plain handle, and how much of it replicas serve.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::figures::Report;
use millpond_benches::machine::versions;
use millpond_benches::rounds::interleave;
use millpond_benches::shop::{Bed, COLUMNS, PACKAGES, SYSTEM, checks, systems};
use millpond_benches::table::table;

/// Measures a shop's traffic over a primary and two replicas: a table on standard output, and target/figures/shop-mix.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rounds, shorter turns.
    #[arg(long)]
    quick: bool,
    /// How many turns. 5, quick 2.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a turn is. 3000, quick 700.
    #[arg(long)]
    window_ms: Option<u64>,
    /// How many customers at a time: one scenario each.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    tasks: Vec<usize>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, window) = if arguments.quick { (2, 700) } else { (5, 3000) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let window = Duration::from_millis(arguments.window_ms.unwrap_or(window));
    ensure!(rounds > 0, "--rounds must be more than 0");
    ensure!(!window.is_zero(), "--window-ms must be more than 0");
    ensure!(arguments.tasks.iter().all(|tasks| *tasks > 0), "--tasks must be more than 0");
    if cfg!(debug_assertions) {
        eprintln!("this is a development build: its figures say nothing; use --release");
    }
    let mut bed = Bed::up(window)?;
    let mut report = Report::new("shop-mix", versions(&PACKAGES));
    for tasks in arguments.tasks {
        bed.crowd(tasks);
        let measured = interleave(bed.scenario(), &bed, &systems(), rounds)?;
        println!("\n{}", table(&measured, &COLUMNS, SYSTEM));
        report.figures.extend(measured.figures());
        report.checks.extend(checks(&measured)?);
    }
    bed.down()?;
    report.end(arguments.strict)
}
