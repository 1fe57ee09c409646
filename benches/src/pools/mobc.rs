//! mobc.

use std::convert::Infallible;

use anyhow::{Result, anyhow};
use mobc::{Connection, Manager, Pool, async_trait};

use super::WAIT_TIMEOUT;

/// `mobc::Pool`.
#[derive(Clone)]
pub struct Mobc(Pool<Numbers>);

impl std::fmt::Debug for Mobc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mobc").finish_non_exhaustive()
    }
}

/// Opens what costs nothing.
#[derive(Debug)]
pub struct Numbers;

#[async_trait]
impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn check(&self, connection: u64) -> Result<u64, Infallible> {
        Ok(connection)
    }
}

impl super::Pool for Mobc {
    const NAME: &'static str = "mobc";
    type Lease = Connection<Numbers>;

    async fn open(size: usize) -> Result<Self> {
        let size = u64::try_from(size)?;
        let builder = Pool::builder().max_open(size).max_idle(size).get_timeout(Some(WAIT_TIMEOUT));
        Ok(Self(builder.test_on_check_out(false).build(Numbers)))
    }

    async fn take(&self) -> Result<Self::Lease> {
        self.0.get().await.map_err(|error| anyhow!("{error}"))
    }
}
