//! mobc. It cannot be closed.

use anyhow::Result;
use mobc::{Connection as Leased, Manager, Pool, async_trait};

use super::{Settings, words};
use crate::server::{Connection, Refused, Server};

/// `mobc::Pool`.
#[derive(Clone)]
pub struct Mobc(Pool<Numbers>);

impl std::fmt::Debug for Mobc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mobc").finish_non_exhaustive()
    }
}

/// Opens connections to the server.
#[derive(Debug)]
pub struct Numbers(Server);

#[async_trait]
impl Manager for Numbers {
    type Connection = Connection;
    type Error = Refused;

    async fn connect(&self) -> Result<Connection, Refused> {
        self.0.connect().await
    }

    async fn check(&self, connection: Connection) -> Result<Connection, Refused> {
        connection.check().await?;
        Ok(connection)
    }
}

impl super::Pool for Mobc {
    const NAME: &'static str = "mobc";
    type Lease = Leased<Numbers>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let size = u64::try_from(settings.size)?;
        let builder = Pool::builder().max_open(size).get_timeout(Some(settings.wait));
        // Its default of two closes all others when they come back, which is what is wanted where connections are not to rest.
        let builder = if settings.idle.is_some() { builder } else { builder.max_idle(size) };
        let builder = builder.test_on_check_out(settings.checks);
        let builder = builder.max_idle_lifetime(settings.idle).max_lifetime(settings.lifetime);
        Ok(Self(builder.build(Numbers(server.clone()))))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.get().await.map_err(|error| words(&error))
    }

    async fn resize(&self, size: usize) -> Option<()> {
        self.0.set_max_open_conns(u64::try_from(size).ok()?).await;
        Some(())
    }
}
