//! Where a lab makes its folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Folder, LabBuilder, LabError, host::at};

/// Where the caller says, else the environment; else in memory, where a data folder of a thousand small files
/// is made several times faster than on a disk; else the system's folder for temporary files.
pub(super) fn folder(builder: &LabBuilder) -> Result<PathBuf, LabError> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = builder.parent.clone().or_else(|| variable("MILLPOND_LAB_FOLDER"));
    let parent = named.or_else(|| variable("TMPDIR")).unwrap_or_else(|| {
        let memory = Path::new("/dev/shm");
        // What is kept for a look should neither hold memory nor be gone with the machine.
        if builder.folder == Folder::Remove && has_room(memory) { memory.to_owned() } else { env::temp_dir() }
    });
    fs::canonicalize(&parent).map_err(at("cannot use the folder", &parent))
}

/// A node has 40 MB at first, and some hundreds after much writing. Containers often have 64 MB there.
const ROOM: u64 = 2 << 30;

fn has_room(memory: &Path) -> bool {
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    free >= ROOM && available_memory().is_none_or(|bytes| bytes >= ROOM)
}

/// The limit of such a folder says nothing about what the machine has left.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}
