//! A small shop: items and orders of them.

mod error;
mod handlers;
mod schema;
mod store;

use std::time::Duration;
use std::{env, io};

use anyhow::Context as _;
use deadpool::Runtime;
use diesel_async::SimpleAsyncConnection as _;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use tokio::net::TcpListener;

use crate::store::Pool;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = connect(&url)?;
    let mut conn = pool.get().await.context("cannot connect to the database")?;
    conn.batch_execute(include_str!("schema.sql")).await.context("cannot make the tables")?;
    drop(conn);

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, handlers::router(pool)).await?;
    Ok(())
}

fn connect(url: &str) -> anyhow::Result<Pool> {
    let limit = Some(Duration::from_secs(5));
    let pool = Pool::builder(AsyncDieselConnectionManager::new(url)).max_size(10).runtime(Runtime::Tokio1);
    Ok(pool.wait_timeout(limit).create_timeout(limit).build()?)
}
