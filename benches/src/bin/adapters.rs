//! The group `adapters`: a service's own pool, and ours in its place.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use millpond_benches::adapters::{GROUP, replicated};
use millpond_benches::group::Arguments;
use millpond_benches::throttle::Throttle;

/// Measures point reads by sqlx, sea-orm and diesel-async and by ours in their place, on one server and over replicas: tables on standard output, and target/figures/adapters.json.
#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
    /// How many tasks: one scenario each. 1,8,64, quick 1,8.
    #[arg(long, value_delimiter = ',')]
    tasks: Option<Vec<usize>>,
}

fn main() -> Result<ExitCode> {
    let Command { arguments, tasks } = Command::parse();
    let usual: &[usize] = if arguments.quick { &[1, 8] } else { &[1, 8, 64] };
    let plan = arguments.plan(&GROUP, tasks.unwrap_or_else(|| usual.to_vec()))?;
    let mut report = plan.run()?;
    if plan.is_whole() && Throttle::is_possible() {
        replicated(&plan, &mut report)?;
    } else if plan.is_whole() {
        println!(
            "sqlx-r2: left out: it takes control groups for CPU time (version 1) that can be made here, as by root on Linux"
        );
    }
    plan.end(&report)
}
