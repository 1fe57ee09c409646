//! The fuzzers' checks as tests of some seconds, without libFuzzer.

use std::{env, fs, path::Path};

use anyhow::{Result, bail};

use super::{LIBPG_QUERY, PACKAGE};
use crate::{
    command::{Cmd, Kept},
    postgres,
    workspace::Workspace,
};

/// What compiles libpg_query, as Debian names it.
const PACKAGES: &str = "libclang-dev clang gcc libc6-dev";

/// Formats, lints and tests the packages of `fuzz/`, which are outside of the workspace. Says what was left out, if anything was.
pub(crate) fn run(workspace: &Workspace, kept: &Kept, servers: bool) -> Result<Option<String>> {
    checks(workspace, kept, PACKAGE)?;
    let tests = cargo(workspace, "test --quiet --release --no-default-features", PACKAGE);
    let tests = tests.args(["--", "--nocapture", "--test-threads=1"]);
    tests
        .args(if servers { &[][..] } else { &["--skip", "differential", "--skip", "standby"] })
        .run_kept(kept)?;
    if let Err(reason) = libclang(workspace) {
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

/// Makes sure that libpg_query can be compiled: installs what it takes where that is ours to do, else says what is missing.
pub(super) fn libclang(workspace: &Workspace) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    println!("libpg_query needs {}, not found here.", missing.join(" and "));
    if postgres::may_install() {
        postgres::apt_install(workspace, PACKAGES)?;
    }
    let missing = self::missing();
    if !missing.is_empty() {
        bail!("{} not found (Debian's packages: {PACKAGES})", missing.join(" and "));
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let compiler = ["cc", "gcc", "clang"].iter().any(|name| Cmd::new(name).args(["--version"]).works());
    [("a C compiler", compiler), ("libclang", has_libclang())]
        .into_iter()
        .filter_map(|(name, found)| (!found).then_some(name))
        .collect()
}

/// Whether the library is where bindgen looks for it first.
fn has_libclang() -> bool {
    let named = env::var_os("LIBCLANG_PATH").map(Into::into);
    let llvm = versioned("/usr/lib", "llvm-").map(|folder| folder.join("lib"));
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib", &multiarch];
    let usual = usual.into_iter().map(Into::into);
    named.into_iter().chain(llvm).chain(usual).any(|folder: std::path::PathBuf| holds_libclang(&folder))
}

fn versioned(parent: &str, start: &'static str) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
}

fn holds_libclang(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).any(|name| is_libclang(&name))
}

/// `libclang.so`, `libclang-14.so.1`, `libclang.dylib`; not `libclang-cpp.so.14`, which is another library.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let rest = rest
        .strip_prefix('-')
        .map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    rest == ".dylib" || rest.starts_with(".so") || rest.starts_with("so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_known_by_its_name() {
        for name in
            ["libclang.so", "libclang-14.so.1", "libclang-14.so.14.0.6", "libclang.so.1", "libclang.dylib"]
        {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang-14.a", "libclangAST.a", "clang"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        assert!(!holds_libclang(Path::new("/nowhere")));
    }
}
