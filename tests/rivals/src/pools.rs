//! The pools, each set up as its documents advise, with the same limits.

pub mod bb8;
pub mod deadpool;
pub mod fast_pool;
pub mod millpond;
pub mod mobc;

use std::future::Future;
use std::time::Duration;

use anyhow::Result;

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
}

impl Settings {
    /// So many connections, 500 ms for a caller, no other limit.
    #[must_use]
    pub const fn of(size: usize) -> Self {
        Self { size, wait: Duration::from_millis(500), idle: None, lifetime: None, checks: false }
    }
}

/// A pool.
pub trait Pool: Clone + Send + Sync + Sized + 'static {
    /// Its name, as figures have it.
    const NAME: &'static str;
    /// What it hands out, and takes back when it is dropped.
    type Lease: Send + 'static;

    /// Makes one in the runtime in which it will be used.
    fn open(server: &Server, settings: Settings) -> impl Future<Output = Result<Self>> + Send;

    /// Takes a connection. The error is as its user reads it, causes included.
    fn take(&self) -> impl Future<Output = Result<Self::Lease, String>> + Send;

    /// Sets the most connections. `None` where that cannot be.
    fn resize(&self, _size: usize) -> Option<()> {
        None
    }

    /// Closes it, within so long where that can be said. `None` where it cannot be closed.
    fn close(&self, _limit: Duration) -> impl Future<Output = Option<()>> + Send {
        std::future::ready(None)
    }
}

/// An error with its causes.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
