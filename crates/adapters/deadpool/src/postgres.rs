//! Pools of deadpool-postgres that follow roles.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError};
use millpond_cluster::Purpose;
use millpond_cluster::core::Role;
use millpond_postgres::foundation::{FollowError, Followed, open_on_primary, open_on_replica};
use millpond_postgres::tokio_postgres::{self, Client, Config, NoTls};
use millpond_postgres::{Db, DriverError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

/// How long a connection waits for a primary, unless something else is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens connections to whichever node is the primary: made by [`primary`].
#[derive(Clone, Debug)]
pub struct FollowPrimary {
    db: Db,
    patience: Duration,
}

/// Opens connections to replicas: made by [`replica`].
#[derive(Clone, Debug)]
pub struct FollowReplica {
    db: Db,
    patience: Duration,
}

/// For `deadpool_postgres::Manager::from_connect`: connections to whichever node is the primary. When another one is, those of before are closed, so that
/// the pool opens others in their place; a caller that uses one then has its call fail as with any connection that is lost.
///
/// Where the nodes are, and how they are logged in to, `db` says: what the manager is given as its configuration is not looked at.
///
/// ```
/// # use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
/// # use millpond_postgres::{Db, tokio_postgres};
/// # fn pool(db: &Db) -> Result<Pool, deadpool_postgres::BuildError> {
/// let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
/// let manager = Manager::from_connect(tokio_postgres::Config::new(), millpond_deadpool::primary(db), config);
/// Pool::builder(manager).max_size(16).build()
/// # }
/// ```
#[must_use]
pub fn primary(db: &Db) -> FollowPrimary {
    FollowPrimary { db: db.clone(), patience: PATIENCE }
}

/// For `deadpool_postgres::Manager::from_connect`: connections to replicas, each to the less busy of two that reads of `db` may go to when it is
/// opened, and to the primary where there is none. They refuse writes. Those to a replica that is down, drained, lagging or no replica any more are closed,
/// and those to the primary within a second of there being a replica again.
///
/// No statement is routed by this, and nobody knows which of them must show what: reads on such a connection may be as old as it takes to notice that
/// its replica lags, and need not show what was written just now. For that there is [`Db`].
#[must_use]
pub fn replica(db: &Db) -> FollowReplica {
    FollowReplica { db: db.clone(), patience: PATIENCE }
}

impl FollowPrimary {
    /// The same with another limit for the wait for a primary. Default 5 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl FollowReplica {
    /// The same with another limit for the wait for the primary, where no replica may be read from. Default 5 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl Connect for FollowPrimary {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async { in_deadpool(open_on_primary(&self.db, Purpose::Write, self.patience).await).await })
    }
}

impl Connect for FollowReplica {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async { in_deadpool(open_on_replica(&self.db, self.patience).await).await })
    }
}

async fn in_deadpool(
    followed: Result<Followed, FollowError>,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    match followed {
        Ok(followed) => Ok((followed.client, followed.driven)),
        Err(FollowError::Driver(DriverError::Driver(error))) => Err(error),
        Err(error) => Err(driver_error(error).await),
    }
}

/// A hook for `pre_recycle`: asks the server whether it still is what the pool is for, which takes a round trip for each use. It is not needed where all
/// roles change through what `db` sees, since connections are closed then: it is for those who want to be sure.
#[must_use]
pub fn verifies_role(role: Role) -> Hook {
    Hook::async_fn(move |client, _| {
        Box::pin(async move {
            let row = client.query_typed_one("select pg_catalog.pg_is_in_recovery()", &[]).await;
            let is_replica: bool = row.and_then(|row| row.try_get(0)).map_err(HookError::Backend)?;
            let found = if is_replica { Role::Replica } else { Role::Primary };
            match found == role {
                true => Ok(()),
                false => Err(HookError::message(format!(
                    "the server is a {found} now, and the pool is for a {role}"
                ))),
            }
        })
    })
}

/// The driver makes its errors itself: one that says this is made by a connection that fails so.
async fn driver_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> tokio_postgres::Error {
    let refused = Refused(Some(io::Error::other(error)));
    match Config::new().user("nobody").connect_raw(refused, NoTls).await {
        Err(error) => error,
        Ok(_) => unreachable!("a stream that refuses everything answers nothing"),
    }
}

/// A stream that fails, and says why once.
struct Refused(Option<io::Error>);

impl Refused {
    fn error(&mut self) -> io::Error {
        self.0.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for Refused {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }
}

impl AsyncWrite for Refused {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.error()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
