//! bb8. It cannot be resized or closed.

use anyhow::Result;
use bb8::{ManageConnection, Pool, PooledConnection, QueueStrategy};

use super::{Settings, words};
use crate::server::{Connection, Refused, Server};

/// `bb8::Pool`.
#[derive(Clone, Debug)]
pub struct Bb8(Pool<Numbers>);

/// Opens connections to the server.
#[derive(Debug)]
pub struct Numbers(Server);

impl ManageConnection for Numbers {
    type Connection = Connection;
    type Error = Refused;

    async fn connect(&self) -> Result<Connection, Refused> {
        self.0.connect().await
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Refused> {
        connection.check().await
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_dead()
    }
}

impl super::Pool for Bb8 {
    const NAME: &'static str = "bb8";
    type Lease = PooledConnection<'static, Numbers>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let builder = Pool::builder().max_size(u32::try_from(settings.size)?);
        let builder = builder.connection_timeout(settings.wait).test_on_check_out(settings.checks);
        let builder = builder.idle_timeout(settings.idle).max_lifetime(settings.lifetime);
        // As it advises where what is not needed is to go.
        let strategy = if settings.idle.is_some() { QueueStrategy::Lifo } else { QueueStrategy::Fifo };
        let builder = builder.queue_strategy(strategy);
        // It looks for what is idle or old every 30 s unless told otherwise.
        let often = [settings.idle, settings.lifetime].into_iter().flatten().min();
        let builder = match often {
            Some(often) => builder.reaper_rate(often / 4),
            None => builder,
        };
        Ok(Self(builder.build(Numbers(server.clone())).await?))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.get_owned().await.map_err(|error| words(&error))
    }
}
