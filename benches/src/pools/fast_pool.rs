//! fast_pool.

use anyhow::Result;
use fast_pool::{ConnectionGuard, Manager, Pool};

use super::WAIT_TIMEOUT;

/// `fast_pool::Pool`.
#[derive(Clone)]
pub struct FastPool(Pool<Numbers>);

impl std::fmt::Debug for FastPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastPool").finish_non_exhaustive()
    }
}

/// Opens what costs nothing.
#[derive(Debug)]
pub struct Numbers;

/// What it asks an error to be made from.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl From<&str> for Refused {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Manager for Numbers {
    type Connection = u64;
    type Error = Refused;

    async fn connect(&self) -> Result<u64, Refused> {
        Ok(0)
    }

    async fn check(&self, _: &mut u64) -> Result<(), Refused> {
        Ok(())
    }
}

impl super::Pool for FastPool {
    const NAME: &'static str = "fast_pool";
    type Lease = ConnectionGuard<Numbers>;

    async fn open(size: usize) -> Result<Self> {
        let pool = Pool::new(Numbers);
        pool.set_max_open(u64::try_from(size)?);
        pool.set_max_idle_conns(u64::try_from(size)?);
        pool.set_timeout_wait(Some(WAIT_TIMEOUT));
        Ok(Self(pool))
    }

    async fn take(&self) -> Result<Self::Lease> {
        Ok(self.0.get().await?)
    }
}
