//! The group `pool`: what taking a connection and giving it back costs, alone and in a crowd.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::criterion::build_program;
use millpond_benches::figures::Report;
use millpond_benches::machine::{target, versions};
use millpond_benches::pools::{Bed, COLUMNS, PACKAGES, REFERENCE, SCENARIOS, allocations, checks, systems};
use millpond_benches::rounds::interleave;
use millpond_benches::table::table;

/// Measures pools without a server: a table on standard output, and target/figures/pool.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rounds, shorter runs.
    #[arg(long)]
    quick: bool,
    /// How often each system has its turn. 7, quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a run lasts. 300, quick 100.
    #[arg(long)]
    window_ms: Option<u64>,
    /// How many worker threads: one scenario each. 1,2.
    #[arg(long, value_delimiter = ',')]
    workers: Option<Vec<usize>>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, window) = if arguments.quick { (3, 100) } else { (7, 300) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let window = Duration::from_millis(arguments.window_ms.unwrap_or(window));
    let workers = arguments.workers.unwrap_or_else(|| vec![1, 2]);
    ensure!(rounds > 0, "--rounds must be more than 0");
    ensure!(!window.is_zero(), "--window-ms must be more than 0");
    ensure!(!workers.is_empty() && !workers.contains(&0), "--workers must name numbers above 0");
    if cfg!(debug_assertions) {
        eprintln!("this is a development build: its figures say nothing; use --release");
    }
    let mut report = Report::new("pool", versions(&PACKAGES));
    let beds = workers.iter().flat_map(|workers| SCENARIOS.map(|scenario| (scenario, *workers)));
    for (scenario, workers) in beds {
        let bed = Bed { scenario, workers, window };
        let measured = interleave(bed.name(), &bed, &systems(), rounds)?;
        println!("\n{}", table(&measured, &COLUMNS, REFERENCE));
        report.figures.extend(measured.figures());
        report.checks.extend(checks(&measured, &bed));
    }
    let (figures, checks) = allocations::read(&build_program("pool-allocations", &target())?)?;
    println!("\nallocations for a connection taken, on one thread:");
    for figure in &figures {
        println!("  {:<13} {:<10} {:.2}", figure.scenario, figure.system, figure.median);
    }
    report.figures.extend(figures);
    report.checks.extend(checks);
    println!(
        "\nns: of the run per connection taken, by all tasks together; one wait in 16 is timed, in a run of its own.\n\
         share: of the most served task beside the least served. A wait timeout is set everywhere; bb8 and mobc do not check \
         at checkout.\n"
    );
    report.end(arguments.strict)
}
