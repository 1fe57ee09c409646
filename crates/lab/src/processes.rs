//! The processes of a server: who they are, whether they run, and signals to them.

use std::{fs, io, path::Path, process::Command};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// One line of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    parent: i32,
    state: char,
    /// When it started. Together with the pid it is unique.
    started: String,
}

impl Process {
    pub(crate) fn is(&self, pid: i32) -> bool {
        self.pid == pid
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// A zombie holds no socket and no memory any more; only its parent has not looked yet.
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// Sends a signal; that the process is gone already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        send(self.pid, signal)
    }
}

/// Sends a signal to a process; that it is gone already is no error.
pub(crate) fn send(pid: i32, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A process and its children: all of one server, since only the postmaster forks.
pub(crate) fn family(pid: i32) -> io::Result<Vec<Process>> {
    let all = list()?;
    Ok(all.into_iter().filter(|p| p.is_alive() && (p.pid == pid || p.parent == pid)).collect())
}

/// Those of `processes` that are still alive, with their state of now.
pub(crate) fn alive(processes: &[Process]) -> io::Result<Vec<Process>> {
    let mut all = list()?;
    all.retain(|now| {
        now.is_alive() && processes.iter().any(|p| p.pid == now.pid && p.started == now.started)
    });
    Ok(all)
}

fn list() -> io::Result<Vec<Process>> {
    if Path::new("/proc/self/stat").exists() { list_proc() } else { list_ps() }
}

fn list_proc() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        // A process that ends while we read is one that is not there.
        if let Some(text) = is_process.then(|| fs::read_to_string(path.join("stat")).ok()).flatten() {
            found.extend(parse_stat(&text));
        }
    }
    Ok(found)
}

/// `pid (name) state parent …`, where the name may hold anything; the 22nd field is the start time.
fn parse_stat(text: &str) -> Option<Process> {
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    Some(Process { pid, parent: fields.get(1)?.parse().ok()?, state, started: (*fields.get(19)?).to_owned() })
}

fn list_ps() -> io::Result<Vec<Process>> {
    let output = Command::new("ps").args(["-axo", "pid=,ppid=,state=,lstart="]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_ps).collect())
}

fn parse_ps(line: &str) -> Option<Process> {
    let mut fields = line.split_whitespace();
    let pid = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let state = fields.next()?.chars().next()?;
    Some(Process { pid, parent, state, started: fields.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c) T 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1";
        let process = parse_stat(text).unwrap();
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'T'));
        assert_eq!(process.started, "98765");
    }

    #[test]
    fn ps_says_the_same_as_the_kernel_about_us() {
        let id = i32::try_from(std::process::id()).unwrap();
        let ours = |all: Vec<Process>| all.into_iter().find(|p| p.pid == id).map(|p| p.parent).unwrap();
        assert_eq!(ours(list_ps().unwrap()), ours(list().unwrap()));
    }

    #[test]
    fn a_signal_to_a_process_that_is_gone_is_no_error() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        send(pid, Signal::CONT).unwrap();
    }
}
