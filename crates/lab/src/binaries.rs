//! Where the programs of PostgreSQL are.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
};

use crate::LabError;

/// The environment variable that names the folder of the server programs.
const VARIABLE: &str = "MILLPOND_LAB_PG_BIN";

/// Without these there is no cluster. `pg_rewind` is not among them: a base backup does instead.
const NEEDED: [&str; 3] = ["postgres", "initdb", "pg_basebackup"];

/// Folders that hold one folder per version, and where in that the programs are.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "bin"),
    ("/usr", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// A folder that holds all the programs needed.
#[derive(Clone, Debug)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// The folder the caller named, else the environment variable, else `PATH`, else the packagers' folders.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, LabError> {
        if let Some(folder) = named {
            return Self::at(folder, "the folder given to the builder");
        }
        if let Some(folder) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            return Self::at(Path::new(&folder), "the folder in MILLPOND_LAB_PG_BIN");
        }
        let path = env::var_os("PATH").unwrap_or_default();
        // A link in PATH may lead to a folder that has the rest as well.
        let in_path = env::split_paths(&path).flat_map(|folder| {
            let real = fs::canonicalize(folder.join("postgres")).ok();
            let beside = real.and_then(|file| file.parent().map(Path::to_owned));
            [Some(folder), beside].into_iter().flatten()
        });
        in_path.chain(versioned()).find(|folder| missing(folder).is_empty()).map(Self).ok_or_else(|| {
            LabError::Binaries {
                what: format!(
                    "no folder with {} was found in PATH, /usr/lib/postgresql/*/bin, Homebrew's folders or /usr/pgsql-*/bin",
                    NEEDED.join(", ")
                ),
            }
        })
    }

    fn at(folder: &Path, origin: &str) -> Result<Self, LabError> {
        let missing = missing(folder);
        if missing.is_empty() {
            return Ok(Self(folder.to_owned()));
        }
        let what = format!("{origin}, {}, lacks {}", folder.display(), missing.join(", "));
        Err(LabError::Binaries { what })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn missing(folder: &Path) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|name| !folder.join(name).is_file()).collect()
}

/// The packagers' folders, newest version first.
fn versioned() -> impl Iterator<Item = PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, programs) in VERSIONED {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = version(parent, &name) {
                found.push((version, entry.path().join(programs)));
            }
        }
    }
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder)
}

/// `15` under Debian's folder, `postgresql@17` or `postgresql` under Homebrew's, `pgsql-16` under `/usr`.
fn version(parent: &str, name: &str) -> Option<u32> {
    let digits = match parent {
        "/usr" => name.strip_prefix("pgsql-")?,
        _ if parent.ends_with("/opt") => match name.strip_prefix("postgresql")? {
            "" => return Some(0),
            rest => rest.strip_prefix('@')?,
        },
        _ => name,
    };
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_packagers_folder_names() {
        assert_eq!(version("/usr/lib/postgresql", "15"), Some(15));
        assert_eq!(version("/opt/homebrew/opt", "postgresql@17"), Some(17));
        assert_eq!(version("/opt/homebrew/opt", "postgresql"), Some(0));
        assert_eq!(version("/opt/homebrew/opt", "postgrest"), None);
        assert_eq!(version("/usr", "pgsql-16"), Some(16));
        assert_eq!(version("/usr", "lib"), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_named_with_what_it_lacks() {
        let error = Binaries::find(Some(Path::new("/"))).unwrap_err().to_string();
        assert!(error.contains("lacks postgres, initdb, pg_basebackup"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
