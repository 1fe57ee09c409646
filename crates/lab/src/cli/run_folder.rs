//! Where the sockets of the labs of this user are.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::PathBuf,
};

use super::CliError;

/// The socket of the lab `name`.
pub(crate) fn socket(name: &str) -> Result<PathBuf, CliError> {
    Ok(folder()?.join(format!("{name}.sock")))
}

/// What a lab in the background says.
pub(crate) fn log(name: &str) -> Result<PathBuf, CliError> {
    Ok(folder()?.join(format!("{name}.log")))
}

/// A folder for this user only: who can write to a socket can kill servers.
fn folder() -> Result<PathBuf, CliError> {
    let uid = rustix::process::getuid().as_raw();
    let session = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let folder = match session {
        Some(session) => session.join("millpond-lab"),
        None => env::temp_dir().join(format!("millpond-lab-run-{uid}")),
    };
    let failed = |source| {
        let what = format!("cannot use {}; set XDG_RUNTIME_DIR to a folder of yours", folder.display());
        CliError::Io { what, source }
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // In a folder that all may write to, somebody else may have been there first.
    let found = fs::symlink_metadata(&folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
        return Err(failed(io::Error::other("it is not a folder of this user alone")));
    }
    Ok(folder)
}
