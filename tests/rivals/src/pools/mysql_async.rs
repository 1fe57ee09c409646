//! mysql_async's pool. It has no limit for how long a caller waits, so that it is given one from outside; it cannot be resized, and knows one
//! host.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, Row, TxOpts};
use tokio::time::timeout;

use super::{PATIENCE, Settings, words};
use crate::bed::Kind;
use crate::server::Server;

/// `mysql_async::Pool`.
#[derive(Clone, Debug)]
pub struct MysqlAsync {
    pool: Pool,
    wait: Duration,
}

const NAME: &str = "mysql_async";

const SECOND: Duration = Duration::from_secs(1);

impl MysqlAsync {
    fn of(server: &Server, options: PoolOpts, size: usize, wait: Duration) -> Result<Self> {
        // What is above the first closes when it comes back, or after a rest if that is limited.
        let rests = if options.inactive_connection_ttl().is_zero() { size } else { 0 };
        let constraints = PoolConstraints::new(rests, size).expect("no more than may be");
        let builder = OptsBuilder::from_opts(Opts::from_url(&server.url()?)?);
        let pool = Pool::new(builder.pool_opts(options.with_constraints(constraints)));
        Ok(Self { pool, wait })
    }

    async fn get(&self) -> Result<Conn, String> {
        let connection = timeout(self.wait, self.pool.get_conn()).await;
        connection.map_err(|_| "timed out from outside".to_owned())?.map_err(|error| words(&error))
    }
}

impl super::Pool for MysqlAsync {
    const NAME: &'static str = NAME;
    const KIND: Option<Kind> = Some(Kind::Mysql);
    type Lease = Conn;

    async fn open(server: &Server, settings: Settings) -> Result<Self> {
        let options = PoolOpts::new().with_abs_conn_ttl(settings.lifetime);
        let options = match settings.idle {
            // It looks for what is idle every 30 s unless told otherwise, and every second at most.
            Some(idle) => {
                options.with_inactive_connection_ttl(idle).with_ttl_check_interval(idle.max(SECOND))
            }
            None => options,
        };
        Self::of(server, options, settings.size, settings.wait)
    }

    async fn take(&self) -> Result<Self::Lease, String> {
        self.get().await
    }

    async fn close(&self, limit: Duration) -> Option<()> {
        // It has no limit of its own. How it went shows in what is left.
        let _ = timeout(limit, self.pool.clone().disconnect()).await;
        Some(())
    }
}

impl super::Database for MysqlAsync {
    const NAME: &'static str = NAME;
    const KIND: Kind = Kind::Mysql;
    const KNOWS_HOSTS: bool = false;

    async fn open(server: &Server, size: usize) -> Result<Self> {
        Self::of(server, PoolOpts::new(), size, PATIENCE)
    }

    async fn run(&self, sql: &'static str) -> Result<(), String> {
        self.get().await?.query_drop(sql).await.map_err(|error| words(&error))
    }

    async fn columns(&self, sql: &'static str) -> Result<usize, String> {
        let row: Option<Row> = self.get().await?.exec_first(sql, ()).await.map_err(|error| words(&error))?;
        Ok(row.map_or(0, |row| row.len()))
    }

    async fn transact(&self) -> Result<(), String> {
        let transaction = timeout(PATIENCE, self.pool.start_transaction(TxOpts::default())).await;
        let transaction = transaction.map_err(|_| "timed out from outside".to_owned())?;
        transaction.map_err(|error| words(&error))?.rollback().await.map_err(|error| words(&error))
    }

    async fn begin_as_text(&self) -> Result<(), String> {
        self.get().await?.query_drop("begin").await.map_err(|error| words(&error))
    }

    async fn glance(&self, sql: &'static str) -> Result<(), String> {
        let mut connection = self.get().await?;
        let mut rows = connection.exec_stream::<Row, _, _>(sql, ()).await.map_err(|error| words(&error))?;
        for _ in 0..10 {
            rows.next().await.transpose().map_err(|error| words(&error))?;
        }
        Ok(())
    }
}
