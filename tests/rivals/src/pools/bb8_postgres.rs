//! bb8-postgres, with its defaults: a query before each use. It keeps no statements. Its driver knows several hosts, and finds the one that
//! takes writes when it connects.

use std::pin::pin;
use std::str::FromStr as _;

use anyhow::Result;
use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::bb8::{Pool, PooledConnection};
use futures_util::TryStreamExt as _;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Config, NoTls};

use super::{PATIENCE, words};
use crate::bed::Kind;
use crate::server::Server;

type Manager = PostgresConnectionManager<NoTls>;

/// `bb8::Pool` of `bb8_postgres`.
#[derive(Clone, Debug)]
pub struct Bb8Postgres(Pool<Manager>);

impl Bb8Postgres {
    async fn get(&self) -> Result<PooledConnection<'_, Manager>, String> {
        self.0.get().await.map_err(|error| words(&error))
    }
}

impl super::Database for Bb8Postgres {
    const NAME: &'static str = "bb8";
    const KIND: Kind = Kind::Postgres;
    const KEEPS_STATEMENTS: bool = false;

    async fn open(server: &Server, size: usize) -> Result<Self> {
        let mut config = Config::from_str(&server.url_of_all()?)?;
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let pool = Pool::builder().max_size(u32::try_from(size)?).connection_timeout(PATIENCE);
        Ok(Self(pool.build(Manager::new(config, NoTls)).await?))
    }

    async fn run(&self, sql: &'static str) -> Result<(), String> {
        self.get().await?.execute(sql, &[]).await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn columns(&self, sql: &'static str) -> Result<usize, String> {
        let row = self.get().await?.query_one(sql, &[]).await.map_err(|error| words(&error))?;
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
