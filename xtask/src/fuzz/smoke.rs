//! The fuzzers' checks as tests of some seconds, without libFuzzer.

use std::path::Path;

use anyhow::Result;

use super::{LIBPG_QUERY, PACKAGE};
use crate::{
    command::{Cmd, Kept},
    libclang,
    workspace::Workspace,
};

/// Formats, lints and tests the packages of `fuzz/`, which are outside of the workspace. Says what was left out, if anything was.
pub(crate) fn run(workspace: &Workspace, kept: &Kept, servers: bool) -> Result<Option<String>> {
    checks(workspace, kept, PACKAGE)?;
    let tests = cargo(workspace, "test --quiet --release --no-default-features", PACKAGE);
    let tests = tests.args(["--", "--nocapture", "--test-threads=1"]);
    tests
        .args(if servers { &[][..] } else { &["--skip", "differential", "--skip", "standby"] })
        .run_kept(kept)?;
    if let Err(reason) = libclang::ensure(workspace) {
        println!("split and tables, beside PostgreSQL's parser, are left out: {reason:#}");
        return Ok(Some(format!("split and tables beside PostgreSQL's parser: {reason:#}")));
    }
    checks(workspace, kept, LIBPG_QUERY)?;
    let tests = cargo(workspace, "test --quiet --release --no-default-features", LIBPG_QUERY);
    tests.args(["--", "--nocapture", "--test-threads=1"]).run_kept(kept)?;
    Ok(None)
}

fn checks(workspace: &Workspace, kept: &Kept, package: &str) -> Result<()> {
    cargo(workspace, "fmt --check", package).run_kept(kept)?;
    let clippy = cargo(workspace, "clippy --quiet --release --no-default-features --all-targets", package);
    clippy.args(["--", "-D", "warnings"]).run_kept(kept)
}

fn cargo(workspace: &Workspace, words: &str, package: &str) -> Cmd {
    let manifest = Path::new(package).join("Cargo.toml");
    let cargo = workspace.cargo().env("CARGO_TARGET_DIR", super::build(workspace));
    cargo.words(words).args(["--manifest-path".as_ref(), manifest.as_os_str()])
}
