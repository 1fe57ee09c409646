//! The systems under test, each used as its documents advise, and nothing tuned in anyone's favour.

pub mod bare;
pub mod deadpool;
pub mod diesel;
pub mod millpond;
pub mod sea_orm;
pub mod sqlx;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;

/// How long a caller may wait for a connection, in every system that can say so.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to connect, and how much may be used.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server's URL.
    pub url: String,
    /// The most connections.
    pub connections: usize,
    /// How many tasks there will be.
    pub tasks: usize,
}

/// A way to a server.
pub trait System: Debug + Send + Sync + Sized + 'static {
    /// Its name, as figures have it.
    const NAME: &'static str;

    /// Connects, inside the runtime in which it will be used.
    fn connect(target: &Target) -> impl Future<Output = Result<Self>> + Send;

    /// Reads one row by its key with [`POINT_READ`](crate::point::POINT_READ), prepared; gives its stock.
    fn point(&self, task: usize, key: i32) -> impl Future<Output = Result<i32>> + Send;

    /// Closes its connections.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
