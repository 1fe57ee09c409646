//! `rivals`: pools in trouble.

use anyhow::Result;

use crate::workspace::Workspace;

/// Put millpond's pool and its peers into situations that broke real ones, and say who holds.
///
/// Takes three minutes, and starts a PostgreSQL node for those that need one. Exit status 0 says that all went well for
/// millpond's.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only millpond's own, which takes half a minute
    #[arg(long)]
    quick: bool,

    /// Further arguments for the program; `cargo xtask rivals -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let cargo = workspace.cargo().args(["run", "--quiet", "--release", "--package", "millpond-rivals", "--"]);
    cargo
        .args(options.quick.then_some(["--pools", "millpond"]).into_iter().flatten())
        .args(&options.rest)
        .run()
}
