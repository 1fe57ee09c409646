//! sqlx: its own pool, and ours in its place.

use anyhow::Result;
use millpond_sqlx::PgPoolOptions;
use sqlx::Row as _;

use super::{System, Target, WAIT_TIMEOUT};
use crate::point::POINT_READ;

/// `sqlx::PgPool` with its default settings but the two that all systems share: it asks the server whether it is there before a connection
/// is handed out, and again when it comes back.
#[derive(Debug)]
pub struct Handmade {
    pool: sqlx::PgPool,
}

impl System for Handmade {
    const NAME: &'static str = "sqlx";

    async fn connect(target: &Target) -> Result<Self> {
        let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(WAIT_TIMEOUT);
        let options = options.max_connections(u32::try_from(target.connections)?);
        Ok(Self { pool: options.connect(&target.url).await? })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        Ok(sqlx::query(POINT_READ).bind(key).fetch_one(&self.pool).await?.try_get(1)?)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// The same without the question before a connection is handed out, as services that want speed have it.
#[derive(Debug)]
pub struct Untested(Handmade);

impl System for Untested {
    const NAME: &'static str = "sqlx-untested";

    async fn connect(target: &Target) -> Result<Self> {
        let options =
            sqlx::postgres::PgPoolOptions::new().acquire_timeout(WAIT_TIMEOUT).test_before_acquire(false);
        let options = options.max_connections(u32::try_from(target.connections)?);
        Ok(Self(Handmade { pool: options.connect(&target.url).await? }))
    }

    async fn point(&self, task: usize, key: i32) -> Result<i32> {
        self.0.point(task, key).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// `millpond_sqlx::PgPool`, told to route.
#[derive(Debug)]
pub struct Adapter {
    pool: millpond_sqlx::PgPool,
}

impl System for Adapter {
    const NAME: &'static str = "millpond-sqlx";

    async fn connect(target: &Target) -> Result<Self> {
        let options = PgPoolOptions::new().acquire_timeout(WAIT_TIMEOUT).route();
        let options = options.max_connections(u32::try_from(target.connections)?);
        Ok(Self { pool: options.connect(&target.url).await? })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        Ok(sqlx::query(POINT_READ).bind(key).fetch_one(&self.pool).await?.try_get(1)?)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
