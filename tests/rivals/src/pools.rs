//! The pools, each set up as its documents advise, with the same limits.

pub mod bb8;
pub mod bb8_postgres;
pub mod deadpool;
pub mod deadpool_postgres;
pub mod fast_pool;
pub mod millpond;
pub mod millpond_postgres;
pub mod mobc;
pub mod mysql_async;
pub mod sqlx;

use std::future::Future;
use std::time::Duration;

use anyhow::Result;

use crate::bed::Kind;
use crate::server::Server;

/// What a scenario asks of a pool. A setting that a pool does not have is left out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The most connections.
    pub size: usize,
    /// How long a caller may wait.
    pub wait: Duration,
    /// How long a connection may rest.
    pub idle: Option<Duration>,
    /// How old a connection may get.
    pub lifetime: Option<Duration>,
    /// Whether to check connections before they are used again.
    pub checks: bool,
    /// How long opening one may take.
    pub connect: Duration,
    /// How long a check may take.
    pub check: Duration,
}

impl Settings {
    /// So many connections, 500 ms for a caller, 5 s for a connect and 1 s for a check, no other limit.
    #[must_use]
    pub const fn of(size: usize) -> Self {
        Self {
            size,
            wait: Duration::from_millis(500),
            idle: None,
            lifetime: None,
            checks: false,
            connect: Duration::from_secs(5),
            check: Duration::from_secs(1),
        }
    }
}

/// A pool.
pub trait Pool: Clone + Send + Sync + Sized + 'static {
    /// Its name, as figures have it.
    const NAME: &'static str;
    /// The kind of server that it has to have. `None` is one in this process.
    const KIND: Option<Kind> = None;
    /// Whether it has a limit for how long a connection may rest.
    const HAS_IDLE_TIMEOUT: bool = true;
    /// What it hands out, and takes back when it is dropped.
    type Lease: Send + 'static;

    /// Makes one in the runtime in which it will be used.
    fn open(server: &Server, settings: Settings) -> impl Future<Output = Result<Self>> + Send;

    /// Takes a connection. The error is as its user reads it, causes included.
    fn take(&self) -> impl Future<Output = Result<Self::Lease, String>> + Send;

    /// Sets the most connections. `None` where that cannot be.
    fn resize(&self, _size: usize) -> impl Future<Output = Option<()>> + Send {
        std::future::ready(None)
    }

    /// Closes it, within so long where that can be said. `None` where it cannot be closed.
    fn close(&self, _limit: Duration) -> impl Future<Output = Option<()>> + Send {
        std::future::ready(None)
    }
}

/// A pool of connections to a database.
pub trait Database: Clone + Send + Sync + Sized + 'static {
    /// Its name, as figures have it.
    const NAME: &'static str;
    /// Of which database.
    const KIND: Kind;
    /// Whether it can be told several hosts.
    const KNOWS_HOSTS: bool = true;
    /// Whether it keeps prepared statements.
    const KEEPS_STATEMENTS: bool = true;

    /// Makes one of so many connections in the runtime in which it will be used. A caller may wait for [`PATIENCE`].
    fn open(server: &Server, size: usize) -> impl Future<Output = Result<Self>> + Send;

    /// Runs a statement that gives no rows.
    fn run(&self, sql: &'static str) -> impl Future<Output = Result<(), String>> + Send;

    /// How many columns the rows of a statement have that is prepared once and kept, in the way that is advised.
    fn columns(&self, sql: &'static str) -> impl Future<Output = Result<usize, String>> + Send;

    /// Begins a transaction in the way that is advised, and ends it.
    fn transact(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Begins one by its text, on a connection that is given back so.
    fn begin_as_text(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Reads ten of very many rows, and gives the connection back.
    fn glance(&self, sql: &'static str) -> impl Future<Output = Result<(), String>> + Send;
}

/// How long a caller may wait for a connection to a database.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// An error with its causes.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Some say their cause themselves.
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
