//! The group `compare`: millpond beside what a team would pick instead.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use millpond_benches::compare::GROUP;
use millpond_benches::group::Arguments;

/// Measures point reads on one server: a table on standard output, and target/figures/compare.json.
#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
    /// How many tasks: one scenario each. 1,8,64,256,1000, quick 1,8,64.
    #[arg(long, value_delimiter = ',')]
    tasks: Option<Vec<usize>>,
}

fn main() -> Result<ExitCode> {
    let Command { arguments, tasks } = Command::parse();
    let usual: &[usize] = if arguments.quick { &[1, 8, 64] } else { &[1, 8, 64, 256, 1000] };
    let plan = arguments.plan(&GROUP, tasks.unwrap_or_else(|| usual.to_vec()))?;
    plan.end(&plan.run()?)
}
