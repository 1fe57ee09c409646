//! Start, stop, kill, freeze, thaw.

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{Host, LOOK};
use crate::{
    LabError,
    error::Phase,
    node::StopMode,
    processes,
    server::{Motion, Server},
};

const START_IT: &str = "start it first";
const THAW_IT: &str = "thaw it first, or kill it";

impl Host {
    /// The postmaster of a node that runs and is not frozen.
    pub(crate) fn moving(&self, server: &mut Server, phase: Phase) -> Result<i32, LabError> {
        let pid = server.pid().ok_or_else(|| self.state(phase, "stopped", START_IT))?;
        match server.motion {
            Motion::Moving => Ok(pid),
            Motion::Frozen => Err(self.state(phase, "frozen", THAW_IT)),
        }
    }

    /// Refuses a phase that needs a server that answers.
    pub(crate) async fn check_moving(&self, phase: Phase) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        self.moving(&mut server, phase).map(drop)
    }

    pub(crate) async fn start(&self) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        if server.pid().is_some() {
            return Err(self.state(Phase::Start, "running", "stop or kill it first, or use restart"));
        }
        server.start(self).await
    }

    pub(crate) async fn stop(&self, mode: StopMode) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        self.moving(&mut server, Phase::Stop)?;
        self.stop_server(&mut server, mode).await
    }

    pub(crate) async fn restart(&self, mode: StopMode) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        if server.pid().is_some() {
            self.moving(&mut server, Phase::Stop)?;
            self.stop_server(&mut server, mode).await?;
        }
        server.start(self).await
    }

    pub(crate) async fn stop_server(&self, server: &mut Server, mode: StopMode) -> Result<(), LabError> {
        let Some(pid) = server.pid() else { return Ok(()) };
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        processes::send(pid, signal).map_err(self.process_error(Phase::Stop))?;
        if server.ended(self.shared.patience).await {
            Ok(())
        } else {
            Err(self.timeout(Phase::Stop, "the server was told to stop and still runs; kill it"))
        }
    }

    /// The postmaster is stopped first, so that nobody is born while the family is listed; then all die at
    /// once, as they do with their machine.
    pub(crate) async fn kill(&self) -> Result<std::time::Instant, LabError> {
        let mut server = self.member().server.lock().await;
        let Some(pid) = server.pid() else {
            return Err(self.state(Phase::Kill, "stopped", "there is nothing to kill"));
        };
        let failed = || self.process_error(Phase::Kill);
        let end = Instant::now() + self.shared.patience;
        processes::send(pid, Signal::STOP).map_err(failed())?;
        // Until it stands, it may bear one more, which would outlive it for a moment and say so to its client.
        let family = loop {
            let family = processes::family(pid).map_err(failed())?;
            if family.iter().all(|process| !process.is(pid) || process.is_stopped()) {
                break family;
            }
            if Instant::now() >= end {
                return Err(self.timeout(Phase::Kill, "the postmaster did not stop; the disk may hang"));
            }
            sleep(LOOK).await;
        };
        let killed = std::time::Instant::now();
        for process in &family {
            process.signal(Signal::KILL).map_err(failed())?;
        }
        processes::send(pid, Signal::KILL).map_err(failed())?;
        let gone = server.ended(self.shared.patience).await;
        while !processes::alive(&family).map_err(failed())?.is_empty() {
            if !gone || Instant::now() >= end {
                return Err(self.timeout(Phase::Kill, "a killed process is still there; the disk may hang"));
            }
            sleep(LOOK).await;
        }
        Ok(killed)
    }

    pub(crate) async fn freeze(&self) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        let Some(pid) = server.pid() else {
            return Err(self.state(Phase::Freeze, "stopped", START_IT));
        };
        let failed = || self.process_error(Phase::Freeze);
        server.motion = Motion::Frozen;
        let end = Instant::now() + self.shared.patience;
        // A child that was born while the signal to the postmaster was under way is caught by the next look.
        loop {
            processes::send(pid, Signal::STOP).map_err(failed())?;
            let family = processes::family(pid).map_err(failed())?;
            let moving: Vec<_> = family.iter().filter(|process| !process.is_stopped()).collect();
            if moving.is_empty() {
                return Ok(());
            }
            for process in moving {
                process.signal(Signal::STOP).map_err(failed())?;
            }
            if Instant::now() >= end {
                return Err(self.timeout(Phase::Freeze, "a process did not stop"));
            }
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn thaw(&self) -> Result<(), LabError> {
        let mut server = self.member().server.lock().await;
        let Some(pid) = server.pid() else {
            return Err(self.state(Phase::Thaw, "stopped", START_IT));
        };
        let failed = || self.process_error(Phase::Thaw);
        for process in processes::family(pid).map_err(failed())? {
            process.signal(Signal::CONT).map_err(failed())?;
        }
        server.motion = Motion::Moving;
        Ok(())
    }
}
