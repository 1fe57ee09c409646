//! A small shop: items and orders of them.

mod entities;
mod error;
mod handlers;
mod migrations;
mod store;

use std::time::Duration;
use std::{env, io};

use anyhow::Context as _;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait as _;
use tokio::net::TcpListener;

use crate::migrations::Migrator;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let db = connect(&url).await.context("cannot connect to the database")?;
    Migrator::up(&db, None).await.context("cannot migrate the database")?;

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, handlers::router(db)).await?;
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(10).acquire_timeout(Duration::from_secs(5)).sqlx_logging(false);
    Ok(Database::connect(options).await?)
}
