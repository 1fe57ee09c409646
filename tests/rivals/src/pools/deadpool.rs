//! deadpool, with timeouts; it has none by default. It has no limit for idle connections or their age.

use std::time::Duration;

use anyhow::Result;
use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};

use super::{Settings, words};
use crate::server::{Connection, Refused, Server};

/// `deadpool::managed`.
#[derive(Clone, Debug)]
pub struct Deadpool(Pool<Numbers>);

/// Opens connections to the server.
#[derive(Debug)]
pub struct Numbers(Server, bool);

impl Manager for Numbers {
    type Type = Connection;
    type Error = Refused;

    async fn create(&self) -> Result<Connection, Refused> {
        self.0.connect().await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Refused> {
        if self.1 {
            connection.check().await?;
        }
        Ok(())
    }
}

impl super::Pool for Deadpool {
    const NAME: &'static str = "deadpool";
    const HAS_IDLE_TIMEOUT: bool = false;
    type Lease = Object<Numbers>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let builder = Pool::builder(Numbers(server.clone(), settings.checks)).max_size(settings.size);
        let builder = builder.runtime(Runtime::Tokio1).wait_timeout(Some(settings.wait));
        let builder = builder.create_timeout(Some(settings.connect)).recycle_timeout(Some(settings.check));
        Ok(Self(builder.build()?))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.get().await.map_err(|error| words(&error))
    }

    async fn resize(&self, size: usize) -> Option<()> {
        self.0.resize(size);
        Some(())
    }

    async fn close(&self, _: Duration) -> Option<()> {
        self.0.close();
        Some(())
    }
}
