//! The statements.

#[cfg(test)]
mod tests;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, Transaction};

use crate::error::AppError;

#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) stock: i32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) item: i64,
    pub(crate) count: i32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Note {
    pub(crate) id: i64,
    pub(crate) text: String,
}

pub(crate) async fn add_item(db: impl PgExecutor<'_>, name: &str, stock: i32) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("insert into items (name, stock) values ($1, $2) returning id", name, stock)
        .fetch_one(db)
        .await
}

pub(crate) async fn item(db: impl PgExecutor<'_>, id: i64) -> Result<Item, sqlx::Error> {
    sqlx::query_as!(Item, "select id, name, stock from items where id = $1", id).fetch_one(db).await
}

pub(crate) async fn items(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Item>, sqlx::Error> {
    sqlx::query_as!(Item, "select id, name, stock from items order by id limit $1", limit).fetch_all(db).await
}

pub(crate) async fn order(db: impl PgExecutor<'_>, id: i64) -> Result<Order, sqlx::Error> {
    sqlx::query_as!(Order, "select id, item, count from orders where id = $1", id).fetch_one(db).await
}

/// Takes the stock and records the order, or does neither.
pub(crate) async fn place_order(pool: &PgPool, item: i64, count: i32) -> Result<i64, AppError> {
    let mut tx = pool.begin().await?;
    take_stock(&mut tx, item, count).await?;
    let order = record_order(&mut *tx, item, count).await?;
    tx.commit().await?;
    Ok(order)
}

async fn take_stock(connection: &mut PgConnection, item: i64, count: i32) -> Result<(), AppError> {
    let updated =
        sqlx::query!("update items set stock = stock - $2 where id = $1 and stock >= $2", item, count)
            .execute(&mut *connection)
            .await?;
    if updated.rows_affected() == 0 {
        let item = self::item(connection, item).await?;
        tracing::debug!(item.id, item.stock, count, "too many are wanted");
        return Err(AppError::OutOfStock);
    }
    Ok(())
}

async fn record_order(db: impl PgExecutor<'_>, item: i64, count: i32) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("insert into orders (item, count) values ($1, $2) returning id", item, count)
        .fetch_one(db)
        .await
}

/// Reads lines of `name,stock` as they come, all or none.
pub(crate) async fn import_items<E>(
    pool: &PgPool,
    mut csv: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<u64, AppError> {
    let mut connection = pool.acquire().await?;
    let mut copy = connection.copy_in_raw("copy items (name, stock) from stdin with (format csv)").await?;
    while let Some(chunk) = csv.next().await {
        match chunk {
            Ok(bytes) => copy.send(bytes.as_ref()).await?,
            Err(_) => {
                copy.abort("the client went away").await?;
                return Err(AppError::BadRequest("the body ended too early".to_owned()));
            }
        };
    }
    Ok(copy.finish().await?)
}

/// A transaction that sees the rows of one tenant, and of nobody else.
async fn begin_as(pool: &PgPool, tenant: &str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!("set local role shop_tenant").execute(&mut *tx).await?;
    sqlx::query_scalar!("select set_config('app.tenant', $1, true)", tenant).fetch_one(&mut *tx).await?;
    Ok(tx)
}

pub(crate) async fn add_note(pool: &PgPool, tenant: &str, text: &str) -> Result<i64, sqlx::Error> {
    let mut tx = begin_as(pool, tenant).await?;
    let id = sqlx::query_scalar!("insert into notes (text) values ($1) returning id", text)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(id)
}

pub(crate) async fn notes(pool: &PgPool, tenant: &str) -> Result<Vec<Note>, sqlx::Error> {
    let mut tx = begin_as(pool, tenant).await?;
    let notes = sqlx::query_as!(Note, "select id, text from notes order by id").fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(notes)
}
