//! CPU time of this process and of a server's processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// The CPU time of all threads of this process so far, user and system.
#[must_use]
pub fn of_this_process() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// The CPU time of the whole machine so far, whoever used it. `None` where the system has no `/proc`.
#[must_use]
pub fn of_the_machine() -> Option<Duration> {
    let ticks = busy_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// The first line: `cpu user nice system idle iowait irq softirq steal …`. What a host takes for others (steal) is as
/// much in our way as what other processes take.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let fields: Vec<_> = fields.take(8).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _, _, irq, softirq, steal] = fields[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

/// The CPU time of each process of a family so far.
pub type Family = BTreeMap<u32, Duration>;

/// A process and its children: a PostgreSQL server, since only its postmaster forks.
#[derive(Clone, Copy, Debug)]
pub struct ProcessTree {
    root: u32,
}

impl ProcessTree {
    /// The server of a data folder.
    ///
    /// # Errors
    ///
    /// When no server runs there.
    pub fn of_postgres(data_folder: &Path) -> Result<Self> {
        let file = data_folder.join("postmaster.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let root = text.lines().next().and_then(|line| line.trim().parse().ok());
        Ok(Self { root: root.with_context(|| format!("no process number in {}", file.display()))? })
    }

    /// What each process has used so far. `None` where the system has no `/proc`: then the metric is left out.
    #[must_use]
    pub fn read(&self) -> Option<Family> {
        let mut family = Family::new();
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that ends while we read is one that is not there.
            if self.has(pid, &entry.path()) {
                family.extend(cpu_of(&entry.path()).ok().map(|spent| (pid, spent)));
            }
        }
        (!family.is_empty()).then_some(family)
    }

    fn has(&self, pid: u32, folder: &Path) -> bool {
        let parent = || parent_in(&fs::read_to_string(folder.join("stat")).ok()?);
        pid == self.root || parent() == Some(self.root)
    }
}

/// What was used between two readings. A process that is new counts from its start; one that is gone cannot be read
/// any more, so a run in which connections close undercounts.
#[must_use]
pub fn spent_between(before: &Family, after: &Family) -> Duration {
    let spent =
        |(pid, now): (&u32, &Duration)| now.saturating_sub(before.get(pid).copied().unwrap_or_default());
    after.iter().map(spent).sum()
}

/// The first number of `schedstat` is the time on a CPU in nanoseconds; `stat` has it only in ticks of 10 ms.
fn cpu_of(folder: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(folder.join("schedstat"))?;
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    first.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `pid (name) state parent …`, where the name may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent_in("42 (a) b (c) S 7 1 1 0"), Some(7));
    }

    #[test]
    fn waiting_is_not_busy() {
        let stat = "cpu  1 2 4 1000 1000 8 16 32 64 64\ncpu0 1 2 4 1000 1000 8 16 32 64 64\n";
        assert_eq!(busy_ticks(stat), Some(63));
    }

    #[test]
    fn a_new_process_counts_whole_and_an_old_one_from_the_first_reading() {
        let family =
            |of: &[(u32, u64)]| of.iter().map(|(pid, ms)| (*pid, Duration::from_millis(*ms))).collect();
        let (before, after): (Family, Family) = (family(&[(1, 100), (2, 50)]), family(&[(1, 130), (3, 7)]));
        assert_eq!(spent_between(&before, &after), Duration::from_millis(37));
    }

    #[test]
    fn work_shows_in_this_process() {
        let before = of_this_process();
        while of_this_process() == before {
            std::hint::spin_loop();
        }
    }
}
