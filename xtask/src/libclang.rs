//! What compiles libpg_query: libclang and a C compiler, found where bindgen finds them, installed where that is ours to do.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{command::Cmd, postgres, workspace::Workspace};

/// As Debian names it.
const PACKAGES: &str = "libclang-dev clang gcc libc6-dev";

/// Makes sure that libpg_query can be compiled: installs what it takes where that is ours to do, else says what is missing.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
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

/// What of it is not on this machine.
pub(crate) fn missing() -> Vec<&'static str> {
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
    named.into_iter().chain(llvm).chain(usual).any(|folder: PathBuf| holds_libclang(&folder))
}

fn versioned(parent: &str, start: &'static str) -> impl Iterator<Item = PathBuf> {
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
