//! `setup`: what the other commands need.

use anyhow::{Context as _, Result};

use crate::{libclang, postgres, workspace::Workspace};

/// Install what the other commands need: PostgreSQL, cargo-nextest, rustfmt and clippy.
///
/// What is there already is left alone. PostgreSQL is installed on Debian and Ubuntu as root; elsewhere the
/// one command to run is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave PostgreSQL out
    #[arg(long)]
    skip_servers: bool,

    /// Also install cargo-deny
    #[arg(long)]
    deny: bool,

    /// Also install what compiles libpg_query, PostgreSQL's parser: libclang and a C compiler
    #[arg(long)]
    libclang: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    toolchain(workspace)?;
    cargo_tool(workspace, "nextest")?;
    if options.deny {
        cargo_tool(workspace, "deny")?;
    }
    if options.libclang {
        libclang::ensure(workspace)?;
        println!("libclang and a C compiler: found");
    }
    if !options.skip_servers {
        postgres::ensure(workspace)?;
    }
    Ok(())
}

/// rustfmt and clippy, which a minimal toolchain lacks.
pub(crate) fn toolchain(workspace: &Workspace) -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if workspace.cargo().args([subcommand, "--version"]).works() {
            continue;
        }
        println!("{component}: not found. Adding it to the Rust toolchain with rustup.");
        let rustup = crate::command::Cmd::new("rustup").args(["component", "add", component]).run();
        rustup.with_context(|| format!("add {component} to your Rust toolchain and run this again"))?;
    }
    Ok(())
}

/// `cargo-NAME`, compiled here when it is missing.
pub(crate) fn cargo_tool(workspace: &Workspace, name: &str) -> Result<()> {
    if let Ok(version) = workspace.cargo().args([name, "--version"]).output() {
        println!("cargo-{name}: {}", version.lines().next().unwrap_or_default());
        return Ok(());
    }
    println!("cargo-{name}: not found. Installing it with cargo, which takes some minutes once.");
    let install = workspace.cargo().args(["install", "--locked", &format!("cargo-{name}")]);
    // It runs for seconds here: minutes of optimizing would not come back.
    let install = install.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").run()
}
