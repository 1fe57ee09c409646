//! PostgreSQL's server programs: found where the lab finds them, installed where that is ours to do.

mod system;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Cmd, workspace::Workspace};
use system::System;

/// The environment variable of the lab that names the folder of the server programs.
const VARIABLE: &str = "MILLPOND_LAB_PG_BIN";

/// What the lab starts.
const NEEDED: [&str; 3] = ["postgres", "initdb", "pg_basebackup"];

/// Folders that hold one folder per version, how that begins, and where in it the programs are.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql"),
    ("/usr", "pgsql-"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Where Debian's package reads whether it is to make and start a cluster of its own.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// Makes sure that the lab can start servers.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let missing = missing(Path::new(&folder));
        if missing.is_empty() {
            return say(Path::new(&folder));
        }
        bail!("{VARIABLE} names {}, which lacks {}", Path::new(&folder).display(), missing.join(", "));
    }
    if let Some(folder) = find() {
        return say(&folder);
    }
    let system = System::find();
    let command = system.command();
    if system != System::DebianRoot {
        bail!(
            "PostgreSQL's server programs ({}) are not on this machine. Install them with\n\n    {command}\n\n\
             and run this again. If they are somewhere else, set {VARIABLE} to their folder.",
            NEEDED.join(", ")
        );
    }
    println!(
        "PostgreSQL: not found. Installing Debian's package `postgresql` with apt-get, without a running server."
    );
    install(workspace)?;
    match find() {
        Some(folder) => say(&folder),
        None => {
            bail!("`{command}` ended well, and {} are still not found: set {VARIABLE}", NEEDED.join(", "))
        }
    }
}

fn find() -> Option<PathBuf> {
    folders().next()
}

/// Those with `initdb` and the others in `PATH`, and the packagers'.
pub(crate) fn folders() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A link in PATH may lead to a folder that has the rest as well.
    let in_path = env::split_paths(&path).flat_map(|folder| {
        let real = fs::canonicalize(folder.join("postgres")).ok();
        let beside = real.and_then(|file| file.parent().map(Path::to_owned));
        [Some(folder), beside].into_iter().flatten()
    });
    let in_path: Vec<_> = in_path.collect();
    in_path.into_iter().chain(versioned()).filter(|folder| missing(folder).is_empty())
}

fn versioned() -> impl Iterator<Item = PathBuf> {
    VERSIONED.into_iter().flat_map(|(parent, start)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let named = entries.filter(move |entry| is_version(&entry.file_name().to_string_lossy(), start));
        named.map(|entry| entry.path().join("bin"))
    })
}

/// `15`, `postgresql@17`, `postgresql` or `pgsql-16`, by what the folder's name begins with.
fn is_version(name: &str, start: &str) -> bool {
    let Some(rest) = name.strip_prefix(start) else { return false };
    let digits = rest.strip_prefix('@').unwrap_or(rest);
    digits.chars().all(|c| c.is_ascii_digit()) && (!digits.is_empty() || start == "postgresql")
}

pub(crate) fn missing(folder: &Path) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|name| !folder.join(name).is_file()).collect()
}

fn say(folder: &Path) -> Result<()> {
    let version = Cmd::new(folder.join("postgres")).args(["--version"]).output()?;
    println!("PostgreSQL: {} in {}", version.trim(), folder.display());
    Ok(())
}

fn install(workspace: &Workspace) -> Result<()> {
    let settings = Path::new(CREATE_CLUSTER);
    if settings.exists() {
        println!("{CREATE_CLUSTER} is there already and stays as it is.");
    } else {
        // The lab makes its own clusters; one that starts with the machine would only be in the way.
        let folder = settings.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let text = "# Written by `cargo xtask setup` of millpond, which needs the programs and no cluster.\n\
                    create_main_cluster = false\n";
        fs::write(settings, text).with_context(|| format!("cannot write {CREATE_CLUSTER}"))?;
    }
    apt_install(workspace, "postgresql")
}

/// Whether this is Debian or a relative, and ours to install on.
pub(crate) fn may_install() -> bool {
    System::find() == System::DebianRoot
}

/// Installs Debian's packages.
pub(crate) fn apt_install(workspace: &Workspace, packages: &str) -> Result<()> {
    let apt = || Cmd::new("apt-get").folder(&workspace.path("")).env("DEBIAN_FRONTEND", "noninteractive");
    apt().words("update --quiet").run().context("apt-get cannot read the lists of packages")?;
    apt().words("install --yes --quiet --no-install-recommends").words(packages).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packagers_folders_are_known_by_their_names() {
        assert!(is_version("15", ""));
        assert!(is_version("postgresql@17", "postgresql"));
        assert!(is_version("postgresql", "postgresql"));
        assert!(is_version("pgsql-16", "pgsql-"));
        assert!(!is_version("postgrest", "postgresql"));
        assert!(!is_version("latest", ""));
        assert!(!is_version("pgsql-", "pgsql-"));
        assert!(!is_version("", ""));
    }

    #[test]
    fn a_folder_without_the_programs_lacks_them_all() {
        assert_eq!(missing(Path::new("/nowhere")), NEEDED);
    }
}
