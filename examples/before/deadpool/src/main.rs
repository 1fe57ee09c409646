//! A small shop: items and orders of them.

mod error;
mod handlers;
mod store;

use std::time::Duration;
use std::{env, io};

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::NoTls;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::net::TcpListener;

use crate::handlers::App;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let app = connect(&url)?;
    let client = app.pool.get().await.context("cannot connect to the database")?;
    client.batch_execute(include_str!("schema.sql")).await.context("cannot make the tables")?;
    drop(client);

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, handlers::router(app)).await?;
    Ok(())
}

fn connect(url: &str) -> anyhow::Result<App> {
    let config = url.parse().context("DATABASE_URL cannot be read")?;
    Ok(App { pool: pool(Manager::from_config(config, NoTls, recycling()))? })
}

const fn recycling() -> ManagerConfig {
    ManagerConfig { recycling_method: RecyclingMethod::Fast }
}

fn pool(manager: Manager) -> anyhow::Result<Pool> {
    let limit = Some(Duration::from_secs(5));
    let pool = Pool::builder(manager).max_size(10).runtime(Runtime::Tokio1);
    Ok(pool.wait_timeout(limit).create_timeout(limit).build()?)
}
