//! `demo`: a shop on a real cluster, with failures.

use anyhow::Result;

use crate::{postgres, workspace::Workspace};

/// Run a shop on a real cluster, with failures, and print what was promised and what happened.
///
/// Installs PostgreSQL where it may, starts a primary and two replicas on loopback, loads a shop and runs its
/// traffic through millpond while one replica is held back and another is killed and started again. Exit status 0
/// says that every promise was kept. Nothing is left behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long the traffic runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u32,

    /// Further arguments for the program; `cargo xtask demo -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    postgres::ensure(workspace)?;
    let cargo = workspace.cargo().args(PROGRAM);
    cargo.args(["--seconds", &options.seconds.to_string()]).args(&options.rest).run()
}

/// The program, up to its own arguments.
const PROGRAM: [&str; 8] =
    ["run", "--quiet", "--release", "--package", "millpond-examples", "--bin", "shop", "--"];
