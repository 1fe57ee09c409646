//! The group `own-writes`: a read of an own write from a replica, beside a read from any.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::figures::Report;
use millpond_benches::machine::versions;
use millpond_benches::own_writes::{Bed, COLUMNS, PACKAGES, REFERENCE, ROUND_TRIP, checks, systems};
use millpond_benches::rounds::interleave;
use millpond_benches::table::table;

/// Measures reads behind writes, over a relay of one millisecond: a table on standard output, and target/figures/own-writes.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rounds, fewer reads.
    #[arg(long)]
    quick: bool,
    /// How often each has its turn. 9, quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many reads a turn has. 200, quick 50.
    #[arg(long)]
    reads: Option<usize>,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, reads) = if arguments.quick { (3, 50) } else { (9, 200) };
    let (rounds, reads) = (arguments.rounds.unwrap_or(rounds), arguments.reads.unwrap_or(reads));
    ensure!(rounds > 0, "--rounds must be more than 0");
    ensure!(reads > 0, "--reads must be more than 0");
    if cfg!(debug_assertions) {
        eprintln!("this is a development build: its figures say nothing; use --release");
    }
    let bed = Bed::up(reads)?;
    let mut report = Report::new("own-writes", versions(&PACKAGES));
    let measured = interleave(format!("relay-{}ms", ROUND_TRIP.as_millis()), &bed, &systems(), rounds)?;
    bed.down()?;
    println!("\n{}", table(&measured, &COLUMNS, REFERENCE));
    report.figures.extend(measured.figures());
    report.checks.extend(checks(&measured));
    report.end(arguments.strict)
}
