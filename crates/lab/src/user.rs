//! Whom the servers run as. PostgreSQL refuses root, and containers often are root.

use std::{env, path::Path, process::Command};

use crate::LabError;

/// The environment variable that names the user when the lab is started by root.
const VARIABLE: &str = "MILLPOND_LAB_USER";

/// An unprivileged user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Whom to become: nobody else unless we are root.
    pub(crate) fn find() -> Result<Option<Self>, LabError> {
        if !rustix::process::getuid().is_root() {
            return Ok(None);
        }
        let named = env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        let names = named.map_or_else(|| vec!["postgres".to_owned(), "nobody".to_owned()], |name| vec![name]);
        let found = names.iter().filter_map(|name| Self::named(name)).find(|user| user.uid != 0);
        found.map(Some).ok_or_else(|| LabError::User {
            what: format!("no unprivileged user was found (tried {})", names.join(", ")),
        })
    }

    /// Asks `id`, which knows the users of directories and of macOS as well as those of `/etc/passwd`.
    fn named(name: &str) -> Option<Self> {
        let ask = |flag: &str| {
            let answer = Command::new("id").args([flag, "--", name]).output().ok()?;
            String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
        };
        Some(Self { uid: ask("-u")?, gid: ask("-g")? })
    }
}

/// Gives a file to the user of the servers; without one it is ours already.
pub(crate) fn give(user: Option<User>, path: &Path) -> Result<(), LabError> {
    let Some(user) = user else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(|source| LabError::Folder {
        what: "cannot hand over",
        path: path.to_owned(),
        source,
    })
}
