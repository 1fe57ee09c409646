//! For backends that run statements by another driver, and have all else from here: settings, monitors, what the database holds; and for pools that
//! others have, whose connections follow a role.
//!
//! Such a backend is [`Foreign`], over [`Postgres`], which [`Builder::connect_backend`](crate::Builder::connect_backend) gives it: what another driver has
//! to do for it says [`Driver`].

mod follow;
mod foreign;
mod transaction;

use std::sync::atomic::Ordering;

use millpond_cluster::core::ServerId;
use millpond_cluster::{Handle, Purpose};
use tokio::task::JoinHandle;

use crate::backend::Source;
use crate::frame::Kind;
use crate::{Db, DriverError, Lsn, Postgres, Server};

pub use crate::backend::WHICH_SERVER;
pub use crate::connection::resets;
pub use crate::connector::Canceller;
pub use crate::error::failure_of_server;
pub use follow::{FollowError, Followed, open_on_primary, open_on_replica};
pub use foreign::{AnyConnection, Driver, Foreign, Question, Take, prove};
pub use transaction::{CommitError, OpenTransaction};

/// Whether a transaction is open, for one message of the simple protocol: without one it is as old as the statement. An aborted one answers with
/// an error of code 25P02.
pub const IN_TRANSACTION: &str =
    "select pg_catalog.transaction_timestamp() <> pg_catalog.statement_timestamp()";

/// What a row of [`WHICH_SERVER`] says, by its two columns.
#[must_use]
pub fn server_id(place: Option<i64>, run: i64) -> ServerId {
    let bits = |number: i64| u64::from_ne_bytes(number.to_ne_bytes());
    ServerId::new(place.map(bits), bits(run))
}

/// A connection of the driver's that is in no pool of ours: made by [`Postgres::open_apart`].
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedApart {
    /// What takes statements. Dropped, the connection ends when they are answered.
    pub client: tokio_postgres::Client,
    /// What drives it; it goes on when this is dropped.
    pub driven: JoinHandle<()>,
    /// What cancels a statement on it.
    pub canceller: Canceller,
}

impl Server {
    /// Where it is, for another driver: one host, which may be the folder of a socket, with its port, and its address if that is set apart. `None`
    /// for the one of a test.
    #[must_use]
    pub const fn config(&self) -> Option<&tokio_postgres::Config> {
        match &self.0 {
            Source::Opened(connector) => Some(connector.config()),
            Source::Test(_) => None,
        }
    }

    /// What every new connection runs first: see [`Builder::after_connect`](crate::Builder::after_connect).
    #[must_use]
    pub fn after_connect(&self) -> Option<&str> {
        match &self.0 {
            Source::Opened(connector) => connector.setup.after_connect.as_deref(),
            Source::Test(_) => None,
        }
    }
}

/// The handle behind one for callers, which knows the nodes.
#[must_use]
pub const fn handle_of(db: &Db) -> &Handle<Postgres> {
    db.handle()
}

impl Postgres {
    /// Opens a connection of the driver's that is in no pool of ours. One for reads refuses writes.
    ///
    /// # Errors
    ///
    /// What the driver says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn open_apart(&self, server: &Server, purpose: Purpose) -> Result<OpenedApart, DriverError> {
        match &server.0 {
            Source::Opened(connector) => connector.connect_apart(purpose).await,
            Source::Test(_) => Err(DriverError::TestOver),
        }
    }

    /// Whether its servers are [behind a pooler](crate::Builder::behind_pooler).
    #[must_use]
    pub fn is_behind_pooler(&self) -> bool {
        self.kind() == Kind::Pooled
    }

    /// The place that the answer to [`Question::Written`] names, in bytes from the start of the log.
    #[must_use]
    pub fn end_of_written(&self, insert: u64) -> Lsn {
        Lsn::end_of_written(insert, self.segment_size.load(Ordering::Relaxed))
    }
}
