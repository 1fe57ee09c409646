//! deadpool, with a wait timeout; it has none by default.

use std::convert::Infallible;

use anyhow::{Result, anyhow};
use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};

use super::WAIT_TIMEOUT;

/// `deadpool::managed`.
#[derive(Clone, Debug)]
pub struct Deadpool(Pool<Numbers>);

/// Opens what costs nothing.
#[derive(Debug)]
pub struct Numbers;

impl Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn recycle(&self, _: &mut u64, _: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

impl super::Pool for Deadpool {
    const NAME: &'static str = "deadpool";
    type Lease = Object<Numbers>;

    async fn open(size: usize) -> Result<Self> {
        let builder = Pool::builder(Numbers).max_size(size).runtime(Runtime::Tokio1);
        Ok(Self(builder.wait_timeout(Some(WAIT_TIMEOUT)).build()?))
    }

    async fn take(&self) -> Result<Self::Lease> {
        self.0.get().await.map_err(|error| anyhow!("{error}"))
    }
}
