//! PgBouncer, for the tests that run behind a pooler: found, or fetched where that is ours to do.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{command::Cmd, debian::Packages, postgres, workspace::Workspace};

/// The environment variable that names the program; the tests look there too.
pub(crate) const VARIABLE: &str = "MILLPOND_PGBOUNCER";

/// The first version that keeps prepared statements apart.
const NEEDED: (u32, u32) = (1, 21);

/// That of a newer Debian, for a machine with an older one.
const PACKAGES: Packages = Packages {
    suites: &["trixie"],
    names: "pgbouncer libc6 libaudit1 libcap-ng0 libcap2 libcares2 libevent-2.1-7t64 libgcrypt20 libgpg-error0 libldap2 \
            liblz4-1 liblzma5 libpam0g libsasl2-2 libssl3t64 libsystemd0 libzstd1",
    newest: "",
};

/// The program, if it is there or can be had. What it takes otherwise is printed.
pub(crate) fn find_or_fetch(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let named = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(program) = named {
        return match version(&program) {
            Some(version) if version >= NEEDED => Ok(Some(program)),
            Some((major, minor)) => bail!("{VARIABLE} names PgBouncer {major}.{minor}, and 1.21 is needed"),
            None => bail!("{VARIABLE} names {}, which is no PgBouncer", program.display()),
        };
    }
    let fetched = folder(workspace).join("pgbouncer");
    let in_path = ["pgbouncer", "/usr/sbin/pgbouncer"].map(PathBuf::from);
    for program in in_path.into_iter().chain([fetched.clone()]) {
        if version(&program).is_some_and(|version| version >= NEEDED) {
            return Ok(Some(program));
        }
    }
    if !postgres::may_install() {
        println!(
            "PgBouncer 1.21 or later: not found, so the tests behind a pooler are left out. Install it, or set {VARIABLE} to it."
        );
        return Ok(None);
    }
    if let Err(error) = fetch(workspace) {
        println!("PgBouncer cannot be fetched, so the tests behind a pooler are left out: {error:#}");
        return Ok(None);
    }
    let runs = version(&fetched).is_some_and(|version| version >= NEEDED);
    if !runs {
        println!("What was fetched into {} does not run.", fetched.display());
    }
    Ok(runs.then_some(fetched))
}

/// Where it is unpacked.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("xtask").join("pgbouncer")
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let said = Cmd::new(program).args(["--version"]).output().ok()?;
    parse(&said)
}

/// `PgBouncer 1.24.1`, on the first line.
fn parse(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.lines().next()?.strip_prefix("PgBouncer ")?.split('.');
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?))
}

/// Unpacks that of Debian.
fn fetch(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    println!(
        "PgBouncer 1.21 or later: not found. Unpacking that of Debian's `{}` into {}.",
        PACKAGES.suites.join("`, `"),
        folder.display()
    );
    let unpacked = PACKAGES.unpack(&folder)?;
    unpacked.write_script(&folder.join("pgbouncer"), &unpacked.path("usr/sbin/pgbouncer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_first_line() {
        assert_eq!(parse("PgBouncer 1.24.1\nlibevent 2.1.13-stable\n"), Some((1, 24)));
        assert!(parse("PgBouncer 1.18.0").unwrap() < NEEDED);
        assert_eq!(parse("something else"), None);
    }
}
