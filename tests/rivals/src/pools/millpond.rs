//! Our own engine.

use std::time::Duration;

use anyhow::Result;
use millpond_pool::{Lease, Manager, Pool, Returned};

use super::{Settings, words};
use crate::server::{Connection, Refused, Server};

/// `millpond-pool`.
#[derive(Clone, Debug)]
pub struct Millpond(Pool<Numbers>);

/// Opens connections to the server.
#[derive(Debug)]
pub struct Numbers(Server);

impl Manager for Numbers {
    type Connection = Connection;
    type Error = Refused;

    async fn connect(&self) -> Result<Connection, Refused> {
        self.0.connect().await
    }

    fn is_open(&self, connection: &Connection) -> bool {
        !connection.is_dead()
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), Refused> {
        connection.check().await
    }

    fn returned(&self, connection: &mut Connection) -> Returned {
        if connection.is_dead() { Returned::Broken } else { Returned::Clean }
    }

    async fn reset(&self, _: &mut Connection) -> Result<(), Refused> {
        Ok(())
    }
}

impl super::Pool for Millpond {
    const NAME: &'static str = "millpond";
    type Lease = Lease<Numbers>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let builder = Pool::builder(Numbers(server.clone())).max_size(settings.size);
        let builder = builder.acquire_timeout(settings.wait).idle_timeout(settings.idle);
        let builder = builder.max_lifetime(settings.lifetime);
        let check = settings.check.min(settings.wait / 2);
        let builder = builder.connect_timeout(settings.connect).check_timeout(check);
        Ok(Self(builder.check_after(settings.checks.then_some(Duration::ZERO)).build()?))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.acquire().await.map_err(|error| words(&error))
    }

    async fn resize(&self, size: usize) -> Option<()> {
        self.0.resize(size).ok()
    }

    async fn close(&self, limit: Duration) -> Option<()> {
        self.0.close_within(limit).await;
        Some(())
    }
}
