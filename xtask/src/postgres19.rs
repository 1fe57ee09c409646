//! PostgreSQL 19, for the tests of what older servers do not have: found, or fetched where that is ours to do.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Cmd, debian::Packages, postgres, workspace::Workspace};

/// The environment variable that names the folder of the server programs; the tests look there too.
pub(crate) const VARIABLE: &str = "MILLPOND_PG19_BIN";

const NEEDED: u32 = 19;

/// What the lab runs.
const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "pg_rewind"];

/// Those of Debian that is to come. Its clients' library has to be of the server's version.
const PACKAGES: Packages = Packages {
    suites: &["sid", "experimental"],
    names: "postgresql-19 postgresql-client-19 libpq5 libc6 libaudit1 libcap-ng0 libcap2 libcom-err2 libgcc-s1 \
            libgssapi-krb5-2 libicu78 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap2 liblz4-1 libnuma1 \
            libpam0g libpcre2-8-0 libsasl2-2 libselinux1 libssl3t64 libstdc++6 libsystemd0 liburing2 libuuid1 libxml2-16 \
            libxslt1.1 libxxhash0 libzstd1 zlib1g",
    newest: "postgresql-19 postgresql-client-19 libpq5",
};

/// Where the programs are among the unpacked files.
const BIN: &str = "usr/lib/postgresql/19/bin";

/// The folder of the programs, if it is there or can be had. What it takes otherwise is printed.
pub(crate) fn find_or_fetch(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let named = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = named {
        let missing = postgres::missing(&folder);
        return match version(&folder) {
            _ if !missing.is_empty() => {
                bail!("{VARIABLE} names {}, which lacks {}", folder.display(), missing.join(", "))
            }
            Some(version) if version >= NEEDED => Ok(Some(folder)),
            Some(version) => bail!("{VARIABLE} names PostgreSQL {version}, and {NEEDED} is needed"),
            None => bail!("{VARIABLE} names {}, whose `postgres` does not run", folder.display()),
        };
    }
    let unpacked = workspace.target().join("xtask").join("postgres19");
    // Where the tests look too.
    let fetched = unpacked.join("bin");
    let is_good = |folder: &PathBuf| {
        postgres::missing(folder).is_empty() && version(folder).is_some_and(|version| version >= NEEDED)
    };
    if let Some(folder) = postgres::folders().chain([fetched.clone()]).find(is_good) {
        return Ok(Some(folder));
    }
    if !postgres::may_install() {
        println!(
            "PostgreSQL {NEEDED}: not found, so the tests that need it are left out. Install it, or set {VARIABLE} to the folder of its programs."
        );
        return Ok(None);
    }
    if let Some(closed) = closed_to_others(&unpacked) {
        println!(
            "PostgreSQL {NEEDED} would be unpacked below {}, where the user of the servers may not go, so the tests that need it are left out.",
            closed.display()
        );
        return Ok(None);
    }
    if let Err(error) = fetch(&unpacked) {
        println!("PostgreSQL {NEEDED} cannot be fetched, so the tests that need it are left out: {error:#}");
        return Ok(None);
    }
    let runs = is_good(&fetched);
    if !runs {
        println!("What was fetched into {} does not run.", fetched.display());
    }
    Ok(runs.then_some(fetched))
}

fn version(folder: &Path) -> Option<u32> {
    let said = Cmd::new(folder.join("postgres")).args(["--version"]).output().ok()?;
    parse(&said)
}

/// `postgres (PostgreSQL) 19rc1 (Debian 19~rc1-1)`
fn parse(said: &str) -> Option<u32> {
    let number = said.strip_prefix("postgres (PostgreSQL) ")?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// The first folder on the way that not everybody may enter: PostgreSQL runs as nobody who may install.
fn closed_to_others(folder: &Path) -> Option<PathBuf> {
    let is_closed =
        |folder: &&Path| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 == 0);
    folder.ancestors().find(is_closed).map(Path::to_owned)
}

fn fetch(folder: &Path) -> Result<()> {
    println!(
        "PostgreSQL {NEEDED}: not found. Unpacking that of Debian's `{}` into {}.",
        PACKAGES.suites.join("`, `"),
        folder.display()
    );
    let unpacked = PACKAGES.unpack(folder)?;
    let programs = unpacked.path(BIN);
    PROGRAMS.iter().try_for_each(|program| unpacked.wrap(&programs.join(program)))?;
    let link = folder.join("bin");
    // One of an earlier try, perhaps.
    let _ = fs::remove_file(&link);
    symlink(&programs, &link).with_context(|| format!("cannot make {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_number_in_front() {
        assert_eq!(parse("postgres (PostgreSQL) 19rc1 (Debian 19~rc1-1)\n"), Some(19));
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse("something else"), None);
    }

    #[test]
    fn a_folder_that_only_its_owner_may_enter_is_found() {
        let folder = env::temp_dir().join(format!("millpond-closed-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).unwrap();
        assert_eq!(closed_to_others(&folder.join("inner")), None);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_to_others(&folder.join("inner/not/there")), Some(folder.clone()));
        fs::remove_dir_all(folder).unwrap();
    }
}
