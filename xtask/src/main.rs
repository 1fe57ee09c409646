//! The project's commands: `cargo xtask --help`.

mod bench;
mod chaos;
mod command;
mod debian;
mod demo;
mod dependencies;
mod docs;
mod functions;
mod fuzz;
mod layers;
mod libclang;
mod metadata;
mod pgbouncer;
mod postgres;
mod postgres19;
mod rivals;
mod setup;
mod sim;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

const AFTER: &str = "\
On a fresh machine `cargo xtask demo` and `cargo xtask test` do all set-up themselves.

Environment:
  MILLPOND_LAB_PG_BIN   the folder of postgres, initdb and pg_basebackup, when they are not found
  MILLPOND_PGBOUNCER    the pgbouncer program, so that none is fetched
  MILLPOND_PG19_BIN     the same folder of PostgreSQL 19, so that none is fetched
  MILLPOND_DENY=no      leaves cargo-deny out of `test`
  CI                    when set, the tests run with nextest's profile `ci`";

/// The commands of the millpond repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = AFTER)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a shop on a real cluster, with failures, and print what was promised and what happened
    Demo(demo::Options),
    /// Do all set-up and run every check and test
    Test(test::Options),
    /// Measure a group and write target/figures/GROUP.json
    Bench(bench::Options),
    /// Put pools into situations that broke real ones
    Rivals(rivals::Options),
    /// Let a cluster fail at random under traffic, and check what its users were told
    Chaos(chaos::Options),
    /// Let simulated clusters fail at random in virtual time, and check what their users were told
    Sim(sim::Options),
    /// Run a fuzzer for some time and print what it found
    Fuzz(fuzz::Options),
    /// Update the list of PostgreSQL's functions that only read from the installed server's catalog
    Functions(functions::Options),
    /// Install what the other commands need: PostgreSQL, cargo-nextest, rustfmt and clippy
    Setup(setup::Options),
    /// Check every crate's dependencies against the layer table
    CheckLayers(layers::Options),
    /// Count the crates that millpond adds to what tokio-postgres brings
    CheckDependencies,
    CheckDocs(docs::Options),
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Demo(options) => demo::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Rivals(options) => rivals::run(&workspace, &options),
        Command::Chaos(options) => chaos::run(&workspace, &options),
        Command::Sim(options) => sim::run(&workspace, &options),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Functions(options) => functions::run(&workspace, &options),
        Command::Setup(options) => setup::run(&workspace, &options),
        Command::CheckLayers(options) => layers::run(&workspace, &options),
        Command::CheckDependencies => dependencies::run(&workspace),
        Command::CheckDocs(options) => docs::run(&workspace, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Args::command().debug_assert();
    }
}
