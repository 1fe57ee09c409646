//! tokio-postgres without a pool: what the driver alone costs.

use anyhow::Result;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Statement};

use super::{System, Target};
use crate::point::POINT_READ;

/// So many clients, each behind a fair (first in, first out) lock. Task T uses client T mod N, for one statement at a
/// time.
///
/// That is exclusive use, as a pool gives it, without a pool: nothing is looked for, handed over between clients,
/// checked or counted, and statements are prepared when it connects. Neither is it a limit of what can be had. A task
/// waits for its client also when another one is free, and nothing is pipelined. Waiting has no timeout.
#[derive(Debug)]
pub struct Bare {
    lanes: Vec<Mutex<Lane>>,
}

#[derive(Debug)]
struct Lane {
    client: Client,
    statement: Statement,
}

impl System for Bare {
    const NAME: &'static str = "tokio-postgres";

    async fn connect(target: &Target) -> Result<Self> {
        let mut lanes = Vec::new();
        for _ in 0..target.connections.min(target.tasks) {
            let (client, connection) = tokio_postgres::connect(&target.url, NoTls).await?;
            tokio::spawn(connection);
            let statement = client.prepare(POINT_READ).await?;
            lanes.push(Mutex::new(Lane { client, statement }));
        }
        Ok(Self { lanes })
    }

    async fn point(&self, task: usize, key: i32) -> Result<i32> {
        let lane = self.lanes[task % self.lanes.len()].lock().await;
        Ok(lane.client.query_one(&lane.statement, &[&key]).await?.try_get(1)?)
    }

    /// Its connections end when it is dropped.
    async fn close(&self) {}
}
