//! millpond: each statement is classified, routed, and run on a pooled connection.

use std::time::Duration;

use anyhow::Result;
use millpond::postgres::Db;

use super::{System, Target, WAIT_TIMEOUT};
use crate::point::POINT_READ;

/// A handle with its default settings but the two that all systems share. It has one more connection to the server
/// than the others: its monitor's, which asks a question every 200 ms.
#[derive(Debug)]
pub struct Millpond {
    db: Db,
}

impl System for Millpond {
    const NAME: &'static str = "millpond";

    async fn connect(target: &Target) -> Result<Self> {
        let builder = Db::builder(&target.url)?.max_size(target.connections).acquire_timeout(WAIT_TIMEOUT);
        Ok(Self { db: builder.connect().await? })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        Ok(self.db.query_one(POINT_READ, &[&key]).await?.try_get(1)?)
    }

    async fn close(&self) {
        self.db.close(Duration::from_secs(2)).await;
    }
}
