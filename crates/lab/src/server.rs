//! A postmaster: our own child process, so that its end can be waited for.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    LabError, admin,
    error::Phase,
    host::{Host, LOOK, at},
    ports, settings, tools, user,
};

/// How many ports are tried before it is said that there is none.
const PORTS: usize = 5;

/// Whether the processes of a server run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Motion {
    #[default]
    Moving,
    Frozen,
}

/// A server that runs or does not.
#[derive(Debug, Default)]
pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) motion: Motion,
}

impl Server {
    /// The postmaster, when it runs. Looks whether it has ended, and buries it then.
    pub(crate) fn pid(&mut self) -> Option<i32> {
        let child = self.child.as_mut()?;
        if let Ok(Some(_)) | Err(_) = child.try_wait() {
            self.child = None;
            self.motion = Motion::Moving;
            return None;
        }
        i32::try_from(child.id()).ok()
    }

    /// Waits for the end of a server that was told to end, for at most `within`.
    pub(crate) async fn ended(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.pid().is_some() {
            if Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Buries what the guardian has ended.
    pub(crate) fn bury(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server of `host` and waits until it answers. Its port changes when somebody has taken it.
    pub(crate) async fn start(&mut self, host: &Host) -> Result<(), LabError> {
        for _ in 0..PORTS {
            match self.attempt(host).await? {
                Attempt::Answers => return Ok(()),
                Attempt::PortTaken => {
                    let port = ports::free().ok_or_else(|| no_port(host))?;
                    host.member().direct_port.store(port, Ordering::Release);
                    host.hang_up();
                }
            }
        }
        Err(no_port(host))
    }

    async fn attempt(&mut self, host: &Host) -> Result<Attempt, LabError> {
        let log = host.member().folder.join("server.log");
        let (child, offset) = spawn(host, &log)?;
        self.child = Some(child);
        self.motion = Motion::Moving;
        let end = Instant::now() + host.shared.patience;
        loop {
            if self.pid().is_none() {
                let text = read_from(&log, offset);
                if text.contains("could not bind") || text.contains("Address already in use") {
                    return Ok(Attempt::PortTaken);
                }
                let log_tail = tools::tail(&text);
                let node = host.name().to_owned();
                return Err(LabError::Server { node, phase: Phase::Start, log: log_tail, path: log });
            }
            if answers(host).await {
                return Ok(Attempt::Answers);
            }
            if Instant::now() >= end {
                let seen = format!(
                    "the server runs and does not answer; the end of its log:\n{}",
                    tools::tail(&read_from(&log, offset))
                );
                return Err(host.timeout(Phase::Start, &seen));
            }
            sleep(LOOK).await;
        }
    }
}

enum Attempt {
    Answers,
    PortTaken,
}

fn spawn(host: &Host, log: &Path) -> Result<(Child, u64), LabError> {
    let member = host.member();
    let conf = member.folder.join("node.conf");
    let text = settings::node(
        &member.name,
        host.direct_port(),
        member.replication.port(),
        &member.settings,
        host.shared.tls.is_some(),
    );
    fs::write(&conf, text).map_err(at("cannot write", &conf))?;
    user::give(host.shared.user, &conf)?;
    let file = OpenOptions::new().create(true).append(true).open(log).map_err(at("cannot write", log))?;
    let offset = file.metadata().map_or(0, |data| data.len());
    let copy = file.try_clone().map_err(at("cannot write", log))?;
    let mut command = tools::command(&host.shared, "postgres", &member.folder);
    command.arg("-D").arg(host.data()).stdout(Stdio::from(copy)).stderr(Stdio::from(file));
    let child = command.spawn().map_err(|source| tools::not_run(&host.shared, "postgres", source))?;
    Ok((child, offset))
}

/// Whether the server that answers is ours: on a port that somebody has taken, another one may.
async fn answers(host: &Host) -> bool {
    let ask = admin::row(host.direct_port(), "postgres", "select current_setting('data_directory')");
    match timeout(Duration::from_secs(2), ask).await {
        Ok(Ok(row)) => {
            let folder = row.first().and_then(Option::as_deref);
            folder.is_some_and(|folder| fs::canonicalize(folder).ok() == fs::canonicalize(host.data()).ok())
        }
        _ => false,
    }
}

fn read_from(log: &Path, offset: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(the log cannot be read: {error})"),
    }
}

/// A server that was killed has left a segment of shared memory, which its next start would find again by the
/// data folder. Before that folder goes, the segment must.
pub(crate) fn release_memory(data: &Path) {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let segment = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        // Most likely it is gone already; then there is nothing to do.
        let _ = Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status();
    }
}

fn no_port(host: &Host) -> LabError {
    let seen = "no free port was found for the server; end what else listens on loopback and try again";
    host.timeout(Phase::Start, seen)
}
