//! deadpool-postgres: a pool of `tokio_postgres` clients with a statement cache each.

use anyhow::Result;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use super::{System, Target, WAIT_TIMEOUT};
use crate::point::POINT_READ;

/// A pool as its README makes it: `RecyclingMethod::Fast`, `prepare_cached`; with a wait timeout, as any service
/// needs one.
#[derive(Debug)]
pub struct Deadpool {
    pool: Pool,
}

impl System for Deadpool {
    const NAME: &'static str = "deadpool";

    async fn connect(target: &Target) -> Result<Self> {
        let config: Config = target.url.parse()?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(target.connections);
        let pool = pool.runtime(Runtime::Tokio1).wait_timeout(Some(WAIT_TIMEOUT)).build()?;
        Ok(Self { pool })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(POINT_READ).await?;
        Ok(client.query_one(&statement, &[&key]).await?.try_get(1)?)
    }

    async fn close(&self) {
        self.pool.close();
    }
}
