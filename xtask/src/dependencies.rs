//! `check-dependencies`: what a user of tokio-postgres compiles more with millpond.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// The facade with its PostgreSQL backend adds at most this many crates, ours among them.
const BUDGET: usize = 15;

const DRIVER: &str = "tokio-postgres";
const FACADE: &str = "millpond";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let driver = driver_alone(workspace)?;
    let tree =
        workspace.cargo().words("tree --prefix none --edges normal --package").args([FACADE]).output()?;
    let facade = crates(&tree);
    if !has(&facade, DRIVER) {
        bail!("`{FACADE}` with default features does not use {DRIVER}: there is nothing to compare");
    }
    let added: Vec<_> = facade.difference(&driver).collect();
    println!(
        "{DRIVER} alone brings {} crates, {FACADE} with default features {}.",
        driver.len(),
        facade.len()
    );
    println!("{FACADE} adds {} (at most {BUDGET}):", added.len());
    for name in &added {
        println!("  {name}");
    }
    if added.len() > BUDGET {
        bail!(
            "{FACADE} adds {} crates to {DRIVER}'s, more than {BUDGET}: drop one, or use what the driver has",
            added.len()
        );
    }
    Ok(())
}

/// The driver's crates as a package that uses nothing else has them.
///
/// Asked in the workspace, its optional crates would count as its own because somebody else turned them on.
fn driver_alone(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let folder = workspace.target().join("xtask").join("driver-alone");
    let source = folder.join("src");
    fs::create_dir_all(&source).with_context(|| format!("cannot make {}", source.display()))?;
    let lock = workspace.read("Cargo.lock")?;
    let version = locked(&lock, DRIVER).with_context(|| format!("Cargo.lock has no {DRIVER}"))?;
    let manifest = format!(
        "[package]\nname = \"driver-alone\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{DRIVER} = \"={version}\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(source.join("lib.rs"), "")?;
    // The same versions as ours.
    fs::copy(workspace.path("Cargo.lock"), folder.join("Cargo.lock"))?;
    let tree = workspace.cargo().folder(&folder).words("tree --prefix none --edges normal").output()?;
    let mut crates = crates(&tree);
    crates.remove("driver-alone 0.0.0");
    Ok(crates)
}

/// The crates in what `cargo tree --prefix none` prints, as `name version`: two versions are compiled twice.
fn crates(tree: &str) -> BTreeSet<String> {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.trim_start_matches('v')))
    });
    crates.collect()
}

fn has(crates: &BTreeSet<String>, name: &str) -> bool {
    crates.iter().any(|one| one.split(' ').next() == Some(name))
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != wanted);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_as_a_set_of_names_with_versions() {
        let tree =
            "millpond v0.1.0 (/somewhere)\ntokio v1.54.1\n\ntokio v1.54.1 (*)\nsyn v2.0.1 (proc-macro)\n";
        let crates = crates(tree);
        assert_eq!(crates, ["millpond 0.1.0", "syn 2.0.1", "tokio 1.54.1"].map(str::to_owned).into());
        assert!(has(&crates, "tokio") && !has(&crates, "tok"));
    }

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"bytes\"\nversion = \"1.12.2\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";
        assert_eq!(locked(lock, "tokio"), Some("1.54.1"));
        assert_eq!(locked(lock, "tracing"), None);
    }
}
