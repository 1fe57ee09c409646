//! Where, with what, and of what a run was made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::{env, fs};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What this program was built from: read when it is built, so it cannot differ from what runs.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The cores that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// The system and its release.
    pub os: String,
    /// The compiler's name and version.
    pub rustc: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let system = rustix::system::uname();
        let words = [system.sysname(), system.release(), system.machine()];
        let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            cpu: cpu_name().unwrap_or_else(unknown),
            os: words.map(|word| word.to_string_lossy().into_owned()).join(" "),
            rustc: said(Command::new(compiler).arg("--version")).unwrap_or_else(unknown),
        }
    }
}

/// The commit of the sources, with `-dirty` when files differ from it or are not in it.
#[must_use]
pub fn commit() -> String {
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments).current_dir(workspace()));
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "uncommitted".to_owned() };
    let is_dirty = git(&["status", "--porcelain"]).is_some();
    if is_dirty { commit + "-dirty" } else { commit }
}

/// The time, as RFC 3339 has it.
#[must_use]
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_else(|_| unknown())
}

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Where cargo builds.
#[must_use]
pub fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    workspace().join(named.unwrap_or_else(|| "target".into()))
}

/// The versions of these packages that this program was built with.
#[must_use]
pub fn versions(packages: &[&str]) -> BTreeMap<String, String> {
    versions_in(LOCK, packages)
}

/// Of each package in a lock file: its version, or several with commas between.
#[must_use]
pub fn versions_in(lock: &str, packages: &[&str]) -> BTreeMap<String, String> {
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let mut found = BTreeMap::<String, String>::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = value(line, "name").filter(|name| packages.contains(&name.as_str())) else {
            continue;
        };
        let Some(version) = lines.next().and_then(|line| value(line, "version")) else { continue };
        found.entry(name).and_modify(|other| *other = format!("{other}, {version}")).or_insert(version);
    }
    found
}

fn cpu_name() -> Option<String> {
    let Ok(text) = fs::read_to_string("/proc/cpuinfo") else {
        return said(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]));
    };
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line that a command printed, when it went well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\nversion = \"9.0.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0.0\"\ndependencies = [\n \"ab\",\n]\n";
        let found = versions_in(lock, &["a", "missing"]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "1.2.3, 2.0.0".to_owned())]);
        assert!(versions(&["tokio-postgres"])["tokio-postgres"].starts_with("0."));
    }

    #[test]
    fn the_date_is_in_the_form() {
        let now = now();
        assert_eq!(now.len(), "2026-11-23T10:00:00Z".len(), "{now}");
        assert!(now.ends_with('Z') && now.as_bytes()[10] == b'T', "{now}");
    }
}
