//! `chaos`: a cluster that fails at random under traffic.

use anyhow::Result;

use crate::workspace::Workspace;

/// Kill, freeze, cut off, hold back and promote real servers under traffic, and check what users were told against what was kept.
///
/// Ten minutes of faults at random, and then 50 promotions, 50 kills and 30 freezes whose ends are timed, which takes as long again.
/// Exit status 0 says that every promise was kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One minute at random, and a few faults that are timed
    #[arg(long)]
    quick: bool,

    /// Further arguments for the program, which win; those that say how much is done replace all of the above.
    /// `cargo xtask chaos -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// How much is done, unless the caller says so.
const FULL: [&str; 8] = ["--seconds", "600", "--promotions", "50", "--kills", "50", "--freezes", "30"];
const QUICK: [&str; 8] = ["--seconds", "60", "--promotions", "4", "--kills", "4", "--freezes", "2"];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let amount = if options.quick { QUICK } else { FULL };
    let cargo = workspace.cargo().args(["run", "--quiet", "--release", "--package", "millpond-chaos", "--"]);
    let amount = (!says_how_much(&options.rest)).then_some(amount);
    cargo.args(amount.into_iter().flatten()).args(&options.rest).run()
}

fn says_how_much(rest: &[String]) -> bool {
    let names =
        |argument: &String| FULL.iter().step_by(2).any(|name| argument.split('=').next() == Some(name));
    rest.iter().any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_how_much_is_done_gets_no_more() {
        let says = |rest: &[&str]| says_how_much(&rest.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(says(&["--seed", "3", "--promotions", "5"]) && says(&["--seconds=9"]));
        assert!(!says(&["--seed", "3", "--profile", "async"]) && !says(&[]));
    }
}
