//! `chaos`: a cluster that fails at random under traffic.

use anyhow::Result;

use crate::workspace::Workspace;

/// Kill, freeze, cut off, hold back and promote real servers under traffic, and check what users were told against what was kept.
///
/// Takes ten minutes. Exit status 0 says that every promise was kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One minute
    #[arg(long)]
    quick: bool,

    /// Further arguments for the program; `cargo xtask chaos -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let cargo = workspace.cargo().args(["run", "--quiet", "--release", "--package", "millpond-chaos", "--"]);
    cargo.args(options.quick.then_some(["--seconds", "60"]).into_iter().flatten()).args(&options.rest).run()
}
