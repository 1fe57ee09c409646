//! `sim`: clusters that fail at random in virtual time.

use anyhow::Result;

use crate::workspace::Workspace;

/// Let simulated clusters fail at random under simulated clients, and check each answer against what the servers had.
///
/// A virtual day of twenty nodes and two thousand clients in each profile, which takes some minutes. Exit status 0 says that every
/// promise was kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Ten seeds of a quarter of an hour with four nodes, in seconds
    #[arg(long)]
    quick: bool,

    /// Further arguments for the program; `cargo xtask sim -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

const QUICK: [&str; 10] =
    ["--seeds", "10", "--hours", "0.25", "--nodes", "4", "--clients", "60", "--think", "1"];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let cargo = workspace.cargo().args(["run", "--quiet", "--release", "--package", "millpond-sim", "--"]);
    cargo.args(options.quick.then_some(QUICK).into_iter().flatten()).args(&options.rest).run()
}
