//! Servers that may use a part of a core only, so that it shows on few cores what replicas add.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cpu::ProcessTree;

/// Where Linux has its control groups for CPU time (version 1).
const GROUPS: &str = "/sys/fs/cgroup/cpu";

/// So short that a statement is seldom held up for long.
const PERIOD_US: u32 = 10_000;

/// A control group, taken away when it is dropped and nobody is in it any more.
#[derive(Debug)]
pub struct Throttle {
    folder: PathBuf,
}

impl Throttle {
    /// Whether there can be any here.
    #[must_use]
    pub fn is_possible() -> bool {
        let probe = Path::new(GROUPS).join(format!("millpond-{}-probe", std::process::id()));
        let is_possible = fs::create_dir(&probe).is_ok() && probe.join("cpu.cfs_quota_us").exists();
        let _ = fs::remove_dir(probe);
        is_possible
    }

    /// One in which a server, with the processes that it starts from here on, uses at most so much of one core.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn of(name: &str, server: ProcessTree, share: f64) -> Result<Self> {
        let folder = Path::new(GROUPS).join(format!("millpond-{}-{name}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let this = Self { folder };
        let quota = (f64::from(PERIOD_US) * share).round();
        this.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        this.write("cpu.cfs_quota_us", &format!("{quota}"))?;
        for pid in server.read().context("the server has no processes")?.keys() {
            this.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(this)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.folder.join(file);
        fs::write(&file, text).with_context(|| format!("cannot write {text} to {}", file.display()))
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
