//! Connections for pools that others have, which end when their node is not what it was.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use millpond_cluster::{Handle, NodeKey, Purpose};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::foundation::OpenedApart;
use crate::{Db, DriverError, Error, Postgres};

/// How often a connection that is on the primary for want of a replica looks whether there is one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A connection that follows a role: made by [`open_on_primary`] and [`open_on_replica`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Followed {
    /// What takes statements. It says that it is closed once its node is not what it was opened for.
    pub client: tokio_postgres::Client,
    /// What drives it, and watches its node. Aborted, it closes the connection.
    pub driven: JoinHandle<()>,
}

impl From<OpenedApart> for Followed {
    fn from(opened: OpenedApart) -> Self {
        Self { client: opened.client, driven: opened.driven }
    }
}

/// Why there is no connection that follows a role.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It could not be opened.
    #[error("{0}")]
    Driver(#[from] DriverError),
    /// The handle is closed.
    #[error("{0}")]
    Routing(#[from] Error),
    /// There was no primary.
    #[error("no node takes writes within {0:?}")]
    NoPrimary(Duration),
}

/// Opens a connection to whichever node is the primary, for which it waits no longer than `patience`. It ends as soon as that is another, or is down. One
/// for [reads](Purpose::Read) refuses writes.
///
/// # Errors
///
/// No primary in time, or none that a connection can be opened to.
///
/// # Cancel safety
///
/// Cancel safe: a dropped future closes what it opened.
pub async fn open_on_primary(db: &Db, purpose: Purpose, patience: Duration) -> Result<Followed, FollowError> {
    let handle = db.handle().clone();
    let primary = timeout(patience, handle.primary()).await;
    let (node, _) = primary.map_err(|_| FollowError::NoPrimary(patience))??;
    let opened = open(&handle, node, purpose).await?;
    Ok(until(opened, async move { handle.until_replaced(node).await }))
}

/// Opens a connection to the less busy of two replicas that reads of `db` may go to now, and to the primary where there is none. It refuses writes, and
/// ends when its node is down, drained, lagging, or no replica any more; on the primary, when there is a replica to read from.
///
/// # Errors
///
/// As [`open_on_primary`].
///
/// # Cancel safety
///
/// Cancel safe: a dropped future closes what it opened.
pub async fn open_on_replica(db: &Db, patience: Duration) -> Result<Followed, FollowError> {
    let handle = db.handle().clone();
    let Some((node, _)) = handle.replica() else {
        let opened = open_on_primary(db, Purpose::Read, patience).await?;
        return Ok(until(opened, async move { until_replica(&handle).await }));
    };
    let opened = open(&handle, node, Purpose::Read).await?;
    Ok(until(opened, async move { handle.until_unfit(node).await }))
}

async fn open(
    handle: &Handle<Postgres>,
    node: NodeKey,
    purpose: Purpose,
) -> Result<OpenedApart, DriverError> {
    let opened = handle.cluster().backend().open_apart(handle.address(node), purpose).await;
    if opened.is_err() {
        // Whatever it was, the node may be another.
        handle.look_again();
    }
    opened
}

/// Waits until reads may go to a replica. It is looked at now and then: that a replica comes nearer is told to nobody.
async fn until_replica(handle: &Handle<Postgres>) {
    let mut looks = interval(LOOK_AGAIN);
    looks.tick().await;
    while handle.replica().is_none() {
        looks.tick().await;
    }
}

/// The same connection, closed as soon as that is over.
fn until(opened: impl Into<Followed>, is_over: impl Future<Output = ()> + Send + 'static) -> Followed {
    let opened = opened.into();
    let mut driven = AbortOnDrop(opened.driven);
    let task = tokio::spawn(async move {
        select(&mut driven.0, pin!(is_over)).await;
    });
    Followed { client: opened.client, driven: task }
}

/// Pools drop the task of a connection that they are done with: what drives that goes with it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
