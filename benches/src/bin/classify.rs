//! The group `classify`: what one statement costs the classifier, beside a full parser and two floors.

use anyhow::{Result, ensure};
use clap::Parser;
use millpond_benches::classify::{COLUMNS, PACKAGES, Plan, REFERENCE, checks, measure, systems};
use millpond_benches::criterion::Effort;
use millpond_benches::figures::{Report, folder};
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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (rounds, effort) = if arguments.quick {
        (3, Effort { samples: 10, warm_up: 0.02, measure: 0.1 })
    } else {
        (7, Effort { samples: 20, warm_up: 0.05, measure: 0.3 })
    };
    let plan = Plan { rounds: arguments.rounds.unwrap_or(rounds), effort };
    ensure!(plan.rounds > 0, "--rounds must be more than 0");
    let mut report = Report::new("classify", versions(&PACKAGES));
    for measured in measure(&systems()?, plan)? {
        println!("{}", table(&measured, &COLUMNS, REFERENCE));
        report.figures.extend(measured.figures());
        report.checks.extend(checks(&measured));
    }
    for check in &report.checks {
        println!("{} {}: {}", if check.holds { "holds" } else { "FAILS" }, check.name, check.figure);
    }
    println!("\nwritten to {}", report.write(&folder())?.display());
    Ok(())
}
