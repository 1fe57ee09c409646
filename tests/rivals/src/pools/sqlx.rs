//! sqlx's pool, with PostgreSQL. It cannot be resized, and knows one host.

use std::time::Duration;

use anyhow::Result;
use futures_util::TryStreamExt as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor as _, PgPool, Postgres, Row as _};
use tokio::time::timeout;

use super::{PATIENCE, Settings, words};
use crate::bed::Kind;
use crate::server::Server;

/// `sqlx::PgPool`.
#[derive(Clone, Debug)]
pub struct Sqlx(PgPool);

const NAME: &str = "sqlx";

impl super::Pool for Sqlx {
    const NAME: &'static str = NAME;
    const KIND: Option<Kind> = Some(Kind::Postgres);
    type Lease = PoolConnection<Postgres>;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(u32::try_from(settings.size)?);
        let pool = pool.acquire_timeout(settings.wait).test_before_acquire(settings.checks);
        let pool = pool.idle_timeout(settings.idle).max_lifetime(settings.lifetime);
        Ok(Self(pool.connect_lazy_with(server.url()?.parse::<PgConnectOptions>()?)))
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.0.acquire().await.map_err(|error| words(&error))
    }

    async fn close(&self, limit: Duration) -> Option<()> {
        // It has no limit of its own, and goes on by itself.
        let _ = timeout(limit, self.0.close()).await;
        Some(())
    }
}

impl super::Database for Sqlx {
    const NAME: &'static str = NAME;
    const KIND: Kind = Kind::Postgres;
    const KNOWS_HOSTS: bool = false;

    async fn open(server: &Server, size: usize) -> Result<Self> {
        // With its default of a ping before each use.
        let pool = PgPoolOptions::new().max_connections(u32::try_from(size)?).acquire_timeout(PATIENCE);
        Ok(Self(pool.connect_lazy_with(server.url()?.parse::<PgConnectOptions>()?)))
    }

    async fn run(&self, sql: &'static str) -> Result<(), String> {
        sqlx::query(sql).execute(&self.0).await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn columns(&self, sql: &'static str) -> Result<usize, String> {
        let row = sqlx::query(sql).fetch_one(&self.0).await.map_err(|error| words(&error))?;
        Ok(row.len())
    }

    async fn transact(&self) -> Result<(), String> {
        let transaction = self.0.begin().await.map_err(|error| words(&error))?;
        transaction.rollback().await.map_err(|error| words(&error))
    }

    async fn begin_as_text(&self) -> Result<(), String> {
        let mut connection = self.0.acquire().await.map_err(|error| words(&error))?;
        connection.execute("begin").await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn glance(&self, sql: &'static str) -> Result<(), String> {
        let mut rows = sqlx::query(sql).fetch(&self.0);
        for _ in 0..10 {
            rows.try_next().await.map_err(|error| words(&error))?;
        }
        Ok(())
    }
}
