//! A small shop: items, orders of them, and notes of its tenants.

mod error;
mod handlers;
mod store;

use std::time::Duration;
use std::{env, io};

use anyhow::Context as _;
use millpond_sqlx::{PgPool, PgPoolOptions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = connect(&url).await.context("cannot connect to the database")?;
    sqlx::migrate!().run(&pool).await.context("cannot migrate the database")?;
    pool.defined();

    let app = handlers::router(pool).await.context("cannot listen for orders")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(Duration::from_secs(5))
        .route()
        .connect(url)
        .await
}
