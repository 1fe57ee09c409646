//! One server of a lab, as a test holds it.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::{LabError, Network, background::run, error::Phase, host::Host, url};

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopMode {
    /// Clients are thrown out, everything is written: what a planned restart does.
    #[default]
    Fast,
    /// Everything is dropped; the next start recovers.
    Immediate,
}

/// How a node became a replica of another primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejoin {
    /// It ran as a replica and was pointed elsewhere, without a restart.
    Repointed,
    /// `pg_rewind` took it back to the fork.
    Rewound,
    /// It was made anew from a base backup.
    Copied,
}

impl fmt::Display for Rejoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repointed => "repointed",
            Self::Rewound => "rewound",
            Self::Copied => "copied anew",
        })
    }
}

/// One server of a [`Lab`](crate::Lab). Clones are the same server.
///
/// Operations wait until their effect is seen. They run on the lab's own thread, so dropping their future
/// stops the waiting and not the operation. When the lab is gone they end with [`LabError::Down`].
#[derive(Clone)]
pub struct Node {
    pub(crate) host: Host,
    pub(crate) handle: Handle,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut node = f.debug_struct("Node");
        node.field("name", &self.name()).field("port", &self.port());
        node.field("direct_port", &self.direct_port()).finish_non_exhaustive()
    }
}

/// Each operation is a method of the node's inside, run on the lab's thread.
macro_rules! on_the_labs_thread {
    ($self:ident, $host:ident => $work:expr) => {{
        let $host = $self.host.clone();
        run(&$self.handle, async move { $work.await }).await
    }};
}

impl Node {
    /// Its name, `db-0` and so on. It says nothing about the role, which moves.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// The port that clients use: that of the relay in front of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.network().port()
    }

    /// The port of the server itself, past the relay and its faults.
    ///
    /// It changes when the server starts again and somebody has taken the port meanwhile.
    #[must_use]
    pub fn direct_port(&self) -> u16 {
        self.host.direct_port()
    }

    /// A URL for this node alone, through the relay, as the superuser `postgres`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url::of(&self.host.shared, "postgres", None, [self.port()].into_iter(), database)
    }

    /// The same for another user.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        url::of(&self.host.shared, user, Some(password), [self.port()].into_iter(), database)
    }

    /// The data folder of the server.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.host.data()
    }

    /// The log of the server.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.host.member().folder.join("server.log")
    }

    /// The folder with the server's Unix socket, unless its path is too long for one. Sockets are named by the
    /// [direct port](Self::direct_port) and have no relay.
    #[must_use]
    pub fn socket_folder(&self) -> Option<&Path> {
        self.host.shared.sockets()
    }

    /// The way of clients to this node, and the faults in it.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.host.member().network
    }

    /// The way of this node to the primary that it follows. A stall or a reset here leaves a replica that
    /// answers its readers and hears nothing new.
    #[must_use]
    pub fn replication(&self) -> &Network {
        &self.host.member().replication
    }

    /// Runs statements as the superuser, past the relay, and returns the first value of the first row.
    ///
    /// For what a test wants to know or arrange beside the code under test.
    ///
    /// # Errors
    ///
    /// What the server or the driver said.
    ///
    /// # Cancel safety
    ///
    /// The statements may or may not run when the future is dropped.
    pub async fn ask(&self, database: &str, sql: &str) -> Result<Option<String>, LabError> {
        let (database, sql) = (database.to_owned(), sql.to_owned());
        on_the_labs_thread!(self, host => host.ask_in(&database, Phase::Ask, &sql))
    }

    /// Pauses replay on this replica, and waits until it is held.
    ///
    /// # Errors
    ///
    /// When the node does not run or is a primary.
    ///
    /// # Cancel safety
    ///
    /// The pause goes on to be made when the future is dropped.
    pub async fn pause_replay(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.pause_replay())
    }

    /// Lets replay go on.
    ///
    /// # Errors
    ///
    /// When the node does not run or is a primary.
    ///
    /// # Cancel safety
    ///
    /// Replay goes on all the same when the future is dropped.
    pub async fn resume_replay(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.resume_replay())
    }

    /// Applies each commit this much later than the primary made it; zero ends that.
    ///
    /// The delay holds commits back, not bytes: the byte lag stays near zero while readers see old rows.
    ///
    /// # Errors
    ///
    /// When the node does not run or is a primary.
    ///
    /// # Cancel safety
    ///
    /// The delay is set all the same when the future is dropped.
    pub async fn delay_replay(&self, by: Duration) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.delay_replay(by))
    }

    /// Waits until this replica has replayed what the primary has written by now.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not get there within the lab's patience; the message says how far it came.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn wait_for_replay(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.wait_for_replay())
    }

    /// Stops all processes of the server where they stand (SIGSTOP). It accepts connections, since the kernel
    /// does, and says nothing.
    ///
    /// # Errors
    ///
    /// When the node does not run.
    ///
    /// # Cancel safety
    ///
    /// The server is frozen all the same when the future is dropped.
    pub async fn freeze(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.freeze())
    }

    /// Lets a frozen server go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When the node does not run.
    ///
    /// # Cancel safety
    ///
    /// The server goes on all the same when the future is dropped.
    pub async fn thaw(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.thaw())
    }

    /// Stops the server and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not run or is frozen, or does not end within the lab's patience.
    ///
    /// # Cancel safety
    ///
    /// The server stops all the same when the future is dropped.
    pub async fn stop(&self, mode: StopMode) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.stop(mode))
    }

    /// Kills all processes of the server at once (SIGKILL), as the loss of its machine does, and waits until
    /// they are gone. A frozen one can be killed. Gives when the first signal was sent: they are looked for before.
    ///
    /// # Errors
    ///
    /// When it does not run.
    ///
    /// # Cancel safety
    ///
    /// The server is killed all the same when the future is dropped.
    pub async fn kill(&self) -> Result<Instant, LabError> {
        on_the_labs_thread!(self, host => host.kill())
    }

    /// Starts a server that does not run, as what it was, and waits until it answers.
    ///
    /// An old primary comes back as a primary, also when another one was promoted meanwhile: that is the split
    /// brain to test against. [`follow`](Self::follow) brings it back as a replica instead.
    ///
    /// # Errors
    ///
    /// When it runs already, or does not start; the message has the end of its log.
    ///
    /// # Cancel safety
    ///
    /// The server starts all the same when the future is dropped.
    pub async fn start(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.start())
    }

    /// Stops the server when it runs, and starts it.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// The restart goes on to its end when the future is dropped.
    pub async fn restart(&self, mode: StopMode) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.restart(mode))
    }

    /// Promotes this replica, waits until it takes writes, and makes it the lab's
    /// [primary](crate::Lab::primary). The old one is not touched: stop or kill it first for a failover, or
    /// leave it for a split brain.
    ///
    /// # Errors
    ///
    /// When it does not run, or the server gives up.
    ///
    /// # Cancel safety
    ///
    /// The promotion goes on to its end when the future is dropped.
    pub async fn promote(&self) -> Result<(), LabError> {
        on_the_labs_thread!(self, host => host.promote())
    }

    /// Makes this node a replica of `primary` and waits until it streams.
    ///
    /// A running replica is pointed there without a restart. An old primary, running or stopped, is taken back
    /// to the fork by `pg_rewind`, or made anew when that is not possible. What it wrote after the fork is lost.
    ///
    /// # Errors
    ///
    /// When `primary` does not run or is none, when this node is frozen, or when it does not stream in the end.
    ///
    /// # Cancel safety
    ///
    /// The change goes on to its end when the future is dropped.
    pub async fn follow(&self, primary: &Self) -> Result<Rejoin, LabError> {
        let primary = primary.host.clone();
        on_the_labs_thread!(self, host => host.follow(&primary))
    }
}
