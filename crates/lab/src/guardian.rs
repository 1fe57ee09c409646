//! Nothing that a lab started survives it, whatever way its process ends.
//!
//! A shell in a process group of its own reads from a pipe whose other end only this process holds. When that
//! closes (the lab was dropped, the test panicked, was killed, or timed out) the shell ends what works in the
//! lab's folder and removes the folder. It is started before anything else is, so nothing is ever unguarded.

use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::LabError;

const SCRIPT: &str = include_str!("guardian.sh");

/// What becomes of a lab's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Folder {
    /// It is removed with the lab.
    Remove,
    /// It stays, with the data and the logs, for a look at what happened. The servers are ended all the same.
    Keep,
}

/// The shell that outlives us for a moment.
#[derive(Debug)]
pub(crate) struct Guardian {
    folder: PathBuf,
    fate: Folder,
    child: Option<Child>,
}

impl Guardian {
    pub(crate) fn start(folder: &Path, fate: Folder) -> Result<Self, LabError> {
        let child = spawn(folder, fate)
            .map_err(|source| LabError::Spawn { program: PathBuf::from("/bin/sh"), source })?;
        Ok(Self { folder: folder.to_owned(), fate, child: Some(child) })
    }

    /// Ends everything and waits for it. A second call does nothing.
    pub(crate) fn finish(&mut self) -> Result<(), LabError> {
        let Some(child) = self.child.take() else { return Ok(()) };
        let ended = close(child).and_then(|status| {
            // Somebody may have killed the shell itself; then another does its work.
            if status.code().is_some() { Ok(status) } else { close(spawn(&self.folder, self.fate)?) }
        });
        let what = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("its guardian ended with {status}"),
            Err(error) => format!("its guardian could not be waited for: {error}"),
        };
        Err(LabError::TearDown { folder: self.folder.clone(), what })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Nobody is left to hear of an error.
        let _ = self.finish();
    }
}

fn spawn(folder: &Path, fate: Folder) -> io::Result<Child> {
    let fate = match fate {
        Folder::Remove => "remove",
        Folder::Keep => "keep",
    };
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "millpond-lab-guardian"])
        .arg(folder)
        .arg(fate)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        // A harness that waits for the end of our output must not wait for the guardian.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// `wait` closes the pipe first.
fn close(mut child: Child) -> io::Result<std::process::ExitStatus> {
    child.wait()
}
