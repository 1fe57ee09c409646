//! deadpool-postgres, with its defaults: a connection that is open is used again as it is. Its driver knows several hosts, and finds the one
//! that takes writes when it connects.

use std::pin::pin;
use std::str::FromStr as _;

use anyhow::Result;
use deadpool_postgres::{Manager, Object, Pool, Runtime};
use futures_util::TryStreamExt as _;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Config, NoTls};

use super::{PATIENCE, words};
use crate::bed::Kind;
use crate::server::Server;

/// `deadpool_postgres::Pool`.
#[derive(Clone, Debug)]
pub struct DeadpoolPostgres(Pool);

impl DeadpoolPostgres {
    async fn get(&self) -> Result<Object, String> {
        self.0.get().await.map_err(|error| words(&error))
    }
}

impl super::Database for DeadpoolPostgres {
    const NAME: &'static str = "deadpool";
    const KIND: Kind = Kind::Postgres;

    async fn open(server: &Server, size: usize) -> Result<Self> {
        let mut config = Config::from_str(&server.url_of_all()?)?;
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let pool = Pool::builder(Manager::new(config, NoTls)).max_size(size).runtime(Runtime::Tokio1);
        let pool = pool.wait_timeout(Some(PATIENCE)).create_timeout(Some(PATIENCE));
        Ok(Self(pool.recycle_timeout(Some(PATIENCE)).build()?))
    }

    async fn run(&self, sql: &'static str) -> Result<(), String> {
        self.get().await?.execute(sql, &[]).await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn columns(&self, sql: &'static str) -> Result<usize, String> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| words(&error))?;
        let row = client.query_one(&statement, &[]).await.map_err(|error| words(&error))?;
        Ok(row.len())
    }

    async fn transact(&self) -> Result<(), String> {
        let mut client = self.get().await?;
        let transaction = client.transaction().await.map_err(|error| words(&error))?;
        transaction.rollback().await.map_err(|error| words(&error))
    }

    async fn begin_as_text(&self) -> Result<(), String> {
        self.get().await?.batch_execute("begin").await.map_err(|error| words(&error))
    }

    async fn glance(&self, sql: &'static str) -> Result<(), String> {
        let client = self.get().await?;
        let mut rows = pin!(client.query_raw(sql, [] as [i32; 0]).await.map_err(|error| words(&error))?);
        for _ in 0..10 {
            rows.try_next().await.map_err(|error| words(&error))?;
        }
        Ok(())
    }
}
