//! Pools of diesel-async's own, whose connections follow a role.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::SetupCallback;
use futures_util::FutureExt as _;
use millpond_cluster::Purpose;
use millpond_cluster::core::Role;
use millpond_postgres::Db;
use millpond_postgres::foundation::{open_on_primary, open_on_replica};

/// How long a connection waits for a primary, unless something else is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens connections that follow a role: made by [`primary`] and [`replica`]. It is a `custom_setup` of diesel-async's managers.
#[derive(Clone, Debug)]
pub struct Follow {
    db: Db,
    role: Role,
    patience: Duration,
}

/// For `custom_setup` of a manager's configuration: connections to whichever node is the primary. When another one is, those of before are closed, so that
/// the pool opens others in their place, if it looks at them before it hands them out (`RecyclingMethod::Verified`, the default).
///
/// Where the nodes are, and how they are logged in to, `db` says: the URL that the manager is given is not looked at.
///
/// ```
/// # use diesel_async::AsyncPgConnection;
/// # use diesel_async::pooled_connection::deadpool::{BuildError, Pool};
/// # use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
/// # fn pool(db: &millpond_diesel::Db) -> Result<Pool<AsyncPgConnection>, BuildError> {
/// let mut config = ManagerConfig::default();
/// config.custom_setup = millpond_diesel::primary(db).into();
/// Pool::builder(AsyncDieselConnectionManager::new_with_config("", config)).max_size(16).build()
/// # }
/// ```
#[must_use]
pub fn primary(db: &Db) -> Follow {
    Follow { db: db.clone(), role: Role::Primary, patience: PATIENCE }
}

/// The same with connections to replicas, each to the less busy of two that reads of `db` may go to when it is opened, and to the primary where there is
/// none. They refuse writes. Those to a replica that is down, drained, lagging or no replica any more are closed,
/// and those to the primary within a second of there being a replica again.
///
/// Nobody knows which of them must show what: reads on such a connection may be as old as it takes to notice that its replica lags, and need not show what
/// was written just now. For that there is [`Pool`](crate::Pool).
#[must_use]
pub fn replica(db: &Db) -> Follow {
    Follow { db: db.clone(), role: Role::Replica, patience: PATIENCE }
}

impl Follow {
    /// The same with another limit for the wait for a primary. Default 5 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn open(self) -> diesel::ConnectionResult<AsyncPgConnection> {
        let followed = match self.role {
            Role::Primary => open_on_primary(&self.db, Purpose::Write, self.patience).await,
            Role::Replica => open_on_replica(&self.db, self.patience).await,
        };
        let followed = followed.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        AsyncPgConnection::try_from(followed.client).await
    }
}

impl From<Follow> for SetupCallback<AsyncPgConnection> {
    fn from(follow: Follow) -> Self {
        Box::new(move |_| follow.clone().open().boxed())
    }
}
