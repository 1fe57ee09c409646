//! Where the repository is, and what is in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::command::Cmd;

/// The root folder of the repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // Cargo says where the package is now; the folder known at build time is for a program run alone.
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).parent().context("the xtask package has no parent folder")?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The path as seen from the root, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    pub(crate) fn read(&self, relative: impl AsRef<Path>) -> Result<String> {
        let path = self.path(relative);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", self.relative(&path)))
    }

    /// `cargo`, started in the root folder.
    pub(crate) fn cargo(&self) -> Cmd {
        Cmd::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())).folder(&self.root)
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        let named = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
        self.path(named.unwrap_or_else(|| "target".into()))
    }

    /// All files with one of the endings, sorted; not what is built or hidden.
    pub(crate) fn files(&self, endings: &[&str]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries =
                fs::read_dir(&folder).with_context(|| format!("cannot list {}", self.relative(&folder)))?;
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with('.') || name == "target" {
                    continue;
                }
                // A link leads to a file that is found anyway.
                if path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if endings.iter().any(|ending| name.ends_with(ending)) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}
