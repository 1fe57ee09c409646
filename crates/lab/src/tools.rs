//! Programs of PostgreSQL that run to their end: initdb, pg_basebackup, pg_rewind.

use std::{
    ffi::OsStr,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{LabError, error::Phase, host::Shared};

/// A command that runs as the user of the servers, in an environment without surprises.
///
/// It works inside the lab's folder: that is how the guardian knows it.
pub(crate) fn command(shared: &Shared, program: &str, folder: &Path) -> Command {
    let mut command = Command::new(shared.binaries.program(program));
    let mut path = shared.binaries.folder().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    command.env_clear().env("PATH", path).env("LC_ALL", "C").current_dir(folder).stdin(Stdio::null());
    // Builds that were moved find their libraries by these.
    for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(user) = shared.user {
        command.uid(user.uid).gid(user.gid);
    }
    // Ctrl-C in a terminal is for us; we decide when the servers go.
    command.process_group(0);
    command
}

/// Why a program could not be run. Where it works is a reason as well as what it is.
pub(crate) fn not_run(shared: &Shared, program: &str, source: io::Error) -> LabError {
    if shared.user.is_some() && source.kind() == io::ErrorKind::PermissionDenied {
        let what = "the user of the servers may not run PostgreSQL's programs in";
        return LabError::Folder { what, path: shared.folder.clone(), source };
    }
    LabError::Spawn { program: shared.binaries.program(program), source }
}

/// Runs a program to its end. It is killed when the future is dropped.
pub(crate) async fn run<I>(
    shared: &Shared,
    node: &str,
    phase: Phase,
    program: &str,
    arguments: I,
) -> Result<(), LabError>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = command(shared, program, &shared.folder.join(node));
    command.args(arguments);
    let running = tokio::process::Command::from(command).kill_on_drop(true).output();
    let finished = tokio::time::timeout(shared.patience, running).await;
    let output = match finished {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => {
            return Err(not_run(shared, program, source));
        }
        Err(_) => {
            let seen = format!("{program} was ended; is the machine out of memory, disk or processors?");
            return Err(LabError::Timeout { node: node.to_owned(), phase, waited: shared.patience, seen });
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let output = format!("{program} ended with {}: {}", output.status, tail(&String::from_utf8_lossy(&text)));
    Err(LabError::Program { node: node.to_owned(), phase, output })
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
