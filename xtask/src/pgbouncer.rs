//! PgBouncer, for the tests that run behind a pooler: found, or fetched where that is ours to do.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Cmd, postgres, workspace::Workspace};

/// The environment variable that names the program; the tests look there too.
pub(crate) const VARIABLE: &str = "MILLPOND_PGBOUNCER";

/// The first version that keeps prepared statements apart.
const NEEDED: (u32, u32) = (1, 21);

/// Debian's release that has it, for a machine with an older one. Its files are unpacked into a folder of their own and touch nothing
/// else.
const SUITE: &str = "trixie";

/// The program and the libraries that it loads.
const PACKAGES: &str = "pgbouncer libc6 libaudit1 libcap-ng0 libcap2 libcares2 libevent-2.1-7t64 libgcrypt20 libgpg-error0 libldap2 \
                        liblz4-1 liblzma5 libpam0g libsasl2-2 libssl3t64 libsystemd0 libzstd1";

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

/// Unpacks Debian's packages beside the system's, with the mirror and keys that this machine has.
fn fetch(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    println!(
        "PgBouncer 1.21 or later: not found. Unpacking that of Debian's `{SUITE}` into {}.",
        folder.display()
    );
    for part in ["lists/partial", "cache/archives/partial", "etc", "packages", "root"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    }
    let shown = folder.display();
    let source =
        format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {SUITE} main\n", mirror());
    fs::write(folder.join("etc/sources.list"), source)?;
    let settings = format!(
        "Dir::Etc::sourcelist \"{shown}/etc/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State::lists \"{shown}/lists\";\nDir::Cache \"{shown}/cache\";\n\
         Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nAcquire::Languages \"none\";\n\
         APT::Sandbox::User \"root\";\n"
    );
    let settings_file = folder.join("etc/apt.conf");
    fs::write(&settings_file, settings)?;
    let apt = || Cmd::new("apt-get").folder(&folder.join("packages")).env("APT_CONFIG", &settings_file);
    apt().words("update --quiet").run()?;
    apt().words("download --quiet").words(PACKAGES).run()?;
    for package in fs::read_dir(folder.join("packages"))? {
        let package = package?.path();
        Cmd::new("dpkg-deb")
            .args(["-x".as_ref(), package.as_os_str(), folder.join("root").as_os_str()])
            .run()?;
    }
    let loader = find_loader(&folder.join("root"))?;
    let libraries = loader.parent().context("a file without a folder")?.display();
    let loader = loader.display();
    let script = format!(
        "#!/bin/sh\nexec '{loader}' --library-path '{libraries}' '{shown}/root/usr/sbin/pgbouncer' \"$@\"\n"
    );
    let program = folder.join("pgbouncer");
    fs::write(&program, script)?;
    Cmd::new("chmod").args(["755".as_ref(), program.as_os_str()]).run()
}

/// The loader of the unpacked libraries, beside them.
fn find_loader(root: &Path) -> Result<PathBuf> {
    let libraries = root.join("usr/lib");
    for folder in fs::read_dir(&libraries)? {
        let folder = folder?.path();
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with("ld-linux") {
                return Ok(file.path());
            }
        }
    }
    bail!("{} has no loader", libraries.display())
}

/// Where this machine gets its packages from.
fn mirror() -> String {
    let files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let mirrors: Vec<_> = texts.filter_map(|text| mirror_in(&text).map(str::to_owned)).collect();
    mirrors.into_iter().next().unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// The first one in a list of sources, of either form.
fn mirror_in(text: &str) -> Option<&str> {
    let sources = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut words = sources.flat_map(str::split_whitespace);
    words.find(|word| word.starts_with("http") && word.contains("debian") && !word.contains("security"))
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

    #[test]
    fn a_mirror_is_found_in_either_form() {
        let new = "Types: deb\n# http://snapshot.debian.org/x\nURIs: http://deb.debian.org/debian\nSuites: bookworm\n";
        assert_eq!(mirror_in(new), Some("http://deb.debian.org/debian"));
        let old =
            "# deb http://old.debian.org/debian\ndeb [arch=amd64] https://my.mirror/debian bookworm main\n";
        assert_eq!(mirror_in(old), Some("https://my.mirror/debian"));
        assert_eq!(mirror_in("deb http://deb.debian.org/debian-security bookworm-security main"), None);
    }
}
