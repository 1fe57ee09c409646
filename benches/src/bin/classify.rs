//! The group `classify`: what one statement costs the classifier, beside full parsers and two floors.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::classify::{COLUMNS, PACKAGES, Plan, REFERENCE, checks, measure, pg_query, systems};
use millpond_benches::criterion::Effort;
use millpond_benches::figures::Report;
use millpond_benches::machine::versions;
use millpond_benches::table::table;

/// Measures the classifier: a table on standard output, and target/figures/classify.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form: fewer rounds, shorter measurements.
    #[arg(long)]
    quick: bool,
    /// How often each system has its turn. 7, quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// Also libpg_query: builds fuzz/libpg_query, which takes libclang and a C compiler.
    #[arg(long)]
    pg_query: bool,
    /// Exit status 1 where a figure is not what it should be.
    #[arg(long)]
    strict: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, effort) = if arguments.quick {
        (3, Effort { samples: 10, warm_up: 0.02, measure: 0.06 })
    } else {
        (7, Effort { samples: 20, warm_up: 0.05, measure: 0.3 })
    };
    let plan = Plan { rounds: arguments.rounds.unwrap_or(rounds), effort };
    ensure!(plan.rounds > 0, "--rounds must be more than 0");
    let (mut systems, mut versions) = (systems()?, versions(&PACKAGES));
    if arguments.pg_query {
        let (more, version) = pg_query()?;
        systems.extend(more);
        versions.extend(version);
    }
    let mut report = Report::new("classify", versions);
    for measured in measure(&systems, plan)? {
        println!("{}", table(&measured, &COLUMNS, REFERENCE));
        report.figures.extend(measured.figures());
        report.checks.extend(checks(&measured));
    }
    report.end(arguments.strict)
}
