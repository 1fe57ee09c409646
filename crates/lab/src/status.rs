//! What is going on in a lab, as the servers say.

use std::{fmt, sync::Arc};

use tokio::time::timeout;

use crate::{
    Condition, LabError,
    error::Phase,
    host::{Host, Shared},
    server::Motion,
};

/// A position in the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Reads PostgreSQL's form, `16/B374D848`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let high = u32::from_str_radix(high, 16).ok()?;
        let low = u32::from_str_radix(low, 16).ok()?;
        Some(Self(u64::from(high) << 32 | u64::from(low)))
    }

    /// The number of bytes before this position.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Whether a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Running {
    /// It runs and answers.
    Running,
    /// Its processes are stopped where they stand.
    Frozen,
    /// It does not run.
    Stopped,
    /// Its process runs, but it does not answer: it starts, recovers or has no connection left.
    Silent,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Stopped => "stopped",
            Self::Silent => "silent",
        })
    }
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It replays what a primary writes.
    Replica,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        })
    }
}

/// Whether a replica applies what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// It does.
    Active,
    /// It was told to pause.
    Paused,
}

/// One node, as seen at one moment. What could not be asked is `None`, never a zero.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// The port that clients use, of the relay.
    pub port: u16,
    /// The port of the server itself.
    pub direct_port: u16,
    /// Whether it runs.
    pub running: Running,
    /// What it says it is.
    pub role: Option<Role>,
    /// Its timeline: one more with each promotion.
    pub timeline: Option<u32>,
    /// The last position it has received, or written when it is a primary.
    pub received: Option<Lsn>,
    /// The last position that its readers see.
    pub replayed: Option<Lsn>,
    /// How many bytes its readers are behind the lab's primary.
    pub behind: Option<u64>,
    /// Whether its replay is paused.
    pub replay: Option<Replay>,
    /// The fault in the network to it.
    pub network: Condition,
    /// The fault in the network between it and the primary that it follows.
    pub replication: Condition,
}

/// A primary has no receiver and no replay; a replica has no current position. The timeline of the control file
/// is the old one until the checkpoint after a promotion, so it is read from the file being written.
const QUESTION: &str = "select r, \
     case when r then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, \
     case when r then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
     case when r then pg_is_wal_replay_paused() end, \
     case when r then (select received_tli::text from pg_stat_wal_receiver) \
       else left(pg_walfile_name(case when r then null else pg_current_wal_lsn() end), 8) end \
     from pg_is_in_recovery() r";

/// Asks all nodes at once.
pub(crate) async fn of(shared: &Arc<Shared>) -> Vec<NodeStatus> {
    let asked: Vec<_> = (0..shared.members.len())
        .map(|index| tokio::spawn(one(Host { shared: Arc::clone(shared), index })))
        .collect();
    let mut all = Vec::new();
    for task in asked {
        // A task of ours neither panics nor is cancelled.
        all.extend(task.await);
    }
    let primary = shared.primary.load(std::sync::atomic::Ordering::Acquire);
    let written = all.get(primary).and_then(|status: &NodeStatus| status.received);
    for status in &mut all {
        let gap = |replayed: Lsn| written.map(|written| written.0.saturating_sub(replayed.0));
        status.behind = status.replayed.and_then(gap);
    }
    all
}

async fn one(host: Host) -> NodeStatus {
    let running = {
        let mut server = host.member().server.lock().await;
        match (server.pid(), server.motion) {
            (None, _) => Running::Stopped,
            (Some(_), Motion::Frozen) => Running::Frozen,
            (Some(_), Motion::Moving) => Running::Running,
        }
    };
    let mut status = NodeStatus {
        name: host.name().to_owned(),
        port: host.member().network.port(),
        direct_port: host.direct_port(),
        running,
        role: None,
        timeline: None,
        received: None,
        replayed: None,
        behind: None,
        replay: None,
        network: host.member().network.condition(),
        replication: host.member().replication.condition(),
    };
    if running == Running::Running {
        match ask(&host).await {
            Ok(row) => fill(&mut status, &row),
            Err(_) => status.running = Running::Silent,
        }
    }
    status
}

/// A table of what is there must not wait as long as an operation.
async fn ask(host: &Host) -> Result<Vec<Option<String>>, LabError> {
    let asked = host.row_in("postgres", Phase::Ask, QUESTION);
    timeout(std::time::Duration::from_secs(3), asked)
        .await
        .unwrap_or_else(|_| Err(host.timeout(Phase::Ask, "no answer")))
}

fn fill(status: &mut NodeStatus, row: &[Option<String>]) {
    let text = |i: usize| row.get(i).and_then(Option::as_deref);
    let replica = text(0) == Some("t");
    status.role = Some(if replica { Role::Replica } else { Role::Primary });
    status.received = text(1).and_then(Lsn::parse);
    status.replayed = text(2).and_then(Lsn::parse);
    status.replay = text(3).map(|paused| if paused == "t" { Replay::Paused } else { Replay::Active });
    let radix = if replica { 10 } else { 16 };
    status.timeline = text(4).and_then(|digits| u32::from_str_radix(digits, radix).ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_printed_as_it_was_read() {
        let lsn = Lsn::parse("16/B374D848").unwrap();
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!(lsn.bytes(), 0x16_B374_D848);
        assert_eq!(Lsn::parse("16"), None);
        assert_eq!(Lsn::parse("x/1"), None);
        assert!(Lsn::parse("1/0") > Lsn::parse("0/FFFFFFFF"));
    }
}
