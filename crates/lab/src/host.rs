//! The inside of a node: what the lab knows of it and does to it.

mod power;
mod replay;
mod role;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    LabError, Network, admin,
    binaries::Binaries,
    error::Phase,
    server::Server,
    settings::{self, Setting},
    user::User,
};

/// How often a state is looked at while it is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// What the nodes of one lab have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) binaries: Binaries,
    pub(crate) user: Option<User>,
    pub(crate) patience: Duration,
    pub(crate) tls: Option<(String, String)>,
    pub(crate) members: Vec<Member>,
    /// The node that was made or promoted to be the primary last.
    pub(crate) primary: AtomicUsize,
}

impl Shared {
    /// The folder of the Unix sockets: the path of one must fit in 100 bytes or so, a system's limit.
    pub(crate) fn sockets(&self) -> Option<&Path> {
        Some(self.folder.as_path()).filter(|folder| folder.as_os_str().len() <= 80)
    }

    /// The same as the server's setting has it; none is empty.
    pub(crate) fn socket_setting(&self) -> String {
        // Commas separate folders in that setting, quotes keep one together.
        self.sockets().map_or_else(String::new, |folder| settings::identifier(&folder.to_string_lossy()))
    }
}

/// One node.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) settings: Vec<Setting>,
    /// Where the server listens itself.
    pub(crate) direct_port: AtomicU16,
    /// Whom it follows.
    pub(crate) upstream: AtomicUsize,
    /// The relay that clients come through.
    pub(crate) network: Network,
    /// The relay through which it follows its primary.
    pub(crate) replication: Network,
    /// One operation on a server at a time.
    pub(crate) server: Mutex<Server>,
}

/// One node, with the way to the others.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
}

impl Host {
    pub(crate) fn member(&self) -> &Member {
        &self.shared.members[self.index]
    }

    pub(crate) fn name(&self) -> &str {
        &self.member().name
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.member().folder.join("data")
    }

    pub(crate) fn direct_port(&self) -> u16 {
        self.member().direct_port.load(Ordering::Acquire)
    }

    pub(crate) fn other(&self, index: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), index }
    }

    /// Ends what goes through relays to this node. While its port was somebody else's, it led there.
    pub(crate) fn hang_up(&self) {
        self.member().network.hang_up();
        for member in &self.shared.members {
            if member.upstream.load(Ordering::Acquire) == self.index {
                member.replication.hang_up();
            }
        }
    }

    /// The node that is the primary as far as the lab knows.
    pub(crate) fn primary(&self) -> Self {
        self.other(self.shared.primary.load(Ordering::Acquire))
    }

    /// Runs one statement on this node and returns the first value of the first row.
    pub(crate) async fn ask(&self, phase: Phase, sql: &str) -> Result<Option<String>, LabError> {
        self.ask_in("postgres", phase, sql).await
    }

    pub(crate) async fn ask_in(
        &self,
        database: &str,
        phase: Phase,
        sql: &str,
    ) -> Result<Option<String>, LabError> {
        let mut row = self.row_in(database, phase, sql).await?;
        Ok(if row.is_empty() { None } else { row.swap_remove(0) })
    }

    /// The first row that a statement returns on this node; empty when it returns none.
    pub(crate) async fn row_in(
        &self,
        database: &str,
        phase: Phase,
        sql: &str,
    ) -> Result<Vec<Option<String>>, LabError> {
        let asked = admin::row(self.direct_port(), database, sql);
        match tokio::time::timeout(self.shared.patience, asked).await {
            Ok(Ok(row)) => Ok(row),
            Ok(Err(source)) => {
                Err(LabError::Sql { node: self.name().to_owned(), phase, source: source.into() })
            }
            Err(_) => {
                Err(self.timeout(phase, "the server does not answer; is it frozen, or is a lock held?"))
            }
        }
    }

    /// A wait for a state of this node that somebody asks for in a loop.
    pub(crate) fn wait(&self, phase: Phase, within: Duration) -> Wait<'_> {
        Wait { host: self, phase, within, end: Instant::now() + within }
    }

    pub(crate) fn timeout(&self, phase: Phase, seen: &str) -> LabError {
        LabError::Timeout {
            node: self.name().to_owned(),
            phase,
            waited: self.shared.patience,
            seen: seen.to_owned(),
        }
    }

    pub(crate) fn state(&self, phase: Phase, state: &'static str, next: &'static str) -> LabError {
        LabError::State { node: self.name().to_owned(), phase, state, next }
    }

    pub(crate) fn process_error(&self, phase: Phase) -> impl FnOnce(std::io::Error) -> LabError {
        let node = self.name().to_owned();
        move |source| LabError::Process { node, phase, source }
    }
}

/// A wait that ends.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    host: &'a Host,
    phase: Phase,
    within: Duration,
    end: Instant,
}

impl Wait<'_> {
    /// Judges what was seen: the answer, or nothing after a short pause, or an error when the time is over. A
    /// statement that failed means "not yet", since servers come and go.
    pub(crate) async fn judge<T>(
        &self,
        seen: Result<Result<T, String>, LabError>,
    ) -> Result<Option<T>, LabError> {
        let seen = match seen {
            Ok(Ok(found)) => return Ok(Some(found)),
            Ok(Err(seen)) => seen,
            Err(error @ LabError::Sql { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        if Instant::now() < self.end {
            sleep(LOOK).await;
            return Ok(None);
        }
        let (phase, waited) = (self.phase, self.within);
        Err(LabError::Timeout { node: self.host.name().to_owned(), phase, waited, seen })
    }
}

/// Names the path of a file operation that failed.
pub(crate) fn at(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LabError {
    let path = path.to_owned();
    move |source| LabError::Folder { what, path, source }
}
