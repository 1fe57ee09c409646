//! Our own data path, with its defaults.

use anyhow::Result;
use futures_util::TryStreamExt as _;
use millpond::postgres::Db;

use super::{PATIENCE, words};
use crate::bed::Kind;
use crate::server::Server;

/// `millpond::postgres::Db`.
#[derive(Clone, Debug)]
pub struct MillpondPostgres(Db);

impl super::Database for MillpondPostgres {
    const NAME: &'static str = "millpond";
    const KIND: Kind = Kind::Postgres;

    async fn open(server: &Server, size: usize) -> Result<Self> {
        let builder = Db::builder(&server.url_of_all()?)?.max_size(size).acquire_timeout(PATIENCE);
        Ok(Self(builder.connect().await?))
    }

    async fn run(&self, sql: &'static str) -> Result<(), String> {
        self.0.execute(sql, &[]).await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn columns(&self, sql: &'static str) -> Result<usize, String> {
        let row = self.0.query_one(sql, &[]).await.map_err(|error| words(&error))?;
        Ok(row.len())
    }

    async fn transact(&self) -> Result<(), String> {
        let transaction = self.0.begin().await.map_err(|error| words(&error))?;
        transaction.rollback().await.map_err(|error| words(&error))
    }

    async fn begin_as_text(&self) -> Result<(), String> {
        let lease = self.0.get().await.map_err(|error| words(&error))?;
        lease.batch_execute("begin").await.map_err(|error| words(&error))
    }

    async fn glance(&self, sql: &'static str) -> Result<(), String> {
        let mut rows = self.0.query_raw(sql, &[]).await.map_err(|error| words(&error))?;
        for _ in 0..10 {
            rows.try_next().await.map_err(|error| words(&error))?;
        }
        Ok(())
    }
}
