//! fast_pool. It cannot be closed, and does not limit rest; age is limited by its plugin.

use anyhow::Result;
use fast_pool::plugin::{CheckMode, DurationManager};
use fast_pool::{ConnectionGuard, Manager, Pool};

use super::{Settings, words};
use crate::server::{Connection, Refused, Server};

/// `fast_pool::Pool`.
#[derive(Clone)]
pub struct FastPool(Pool<DurationManager<Numbers>>);

impl std::fmt::Debug for FastPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastPool").finish_non_exhaustive()
    }
}

/// Opens connections to the server.
#[derive(Debug)]
pub struct Numbers(Server, bool);

impl Manager for Numbers {
    type Connection = Connection;
    type Error = Refused;

    async fn connect(&self) -> Result<Connection, Refused> {
        self.0.connect().await
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), Refused> {
        if self.1 { connection.check().await } else { Ok(()) }
    }
}

impl super::Pool for FastPool {
    const NAME: &'static str = "fast_pool";
    const HAS_IDLE_TIMEOUT: bool = false;
    type Lease = ConnectionGuard<DurationManager<Numbers>>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let mode = settings.lifetime.map_or(CheckMode::NoLimit, CheckMode::MaxLifetime);
        let pool = Pool::new(DurationManager::new(Numbers(server.clone(), settings.checks), mode));
        pool.set_max_open(u64::try_from(settings.size)?);
        pool.set_max_idle_conns(u64::try_from(settings.size)?);
        pool.set_timeout_wait(Some(settings.wait));
        pool.set_timeout_check(Some(settings.check));
        Ok(Self(pool))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.get().await.map_err(|error| words(&error))
    }

    async fn resize(&self, size: usize) -> Option<()> {
        self.0.set_max_open(u64::try_from(size).ok()?);
        Some(())
    }
}
