//! The statements.

use deadpool_postgres::tokio_postgres::{Error, Row};
use deadpool_postgres::{Client, GenericClient};
use serde::Serialize;

use crate::error::AppError;

#[derive(Debug, Serialize)]
pub(crate) struct Item {
    id: i64,
    name: String,
    stock: i32,
}

impl TryFrom<Row> for Item {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self { id: row.try_get("id")?, name: row.try_get("name")?, stock: row.try_get("stock")? })
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Order {
    id: i64,
    item: i64,
    count: i32,
}

pub(crate) async fn add_item(db: &impl GenericClient, name: &str, stock: i32) -> Result<i64, AppError> {
    let sql = "insert into items (name, stock) values ($1, $2) returning id";
    let statement = db.prepare_cached(sql).await?;
    Ok(db.query_one(&statement, &[&name, &stock]).await?.try_get(0)?)
}

pub(crate) async fn item(db: &impl GenericClient, id: i64) -> Result<Item, AppError> {
    let statement = db.prepare_cached("select id, name, stock from items where id = $1").await?;
    let row = db.query_opt(&statement, &[&id]).await?.ok_or(AppError::NotFound)?;
    Ok(row.try_into()?)
}

pub(crate) async fn items(db: &impl GenericClient, limit: i64) -> Result<Vec<Item>, AppError> {
    let statement = db.prepare_cached("select id, name, stock from items order by id limit $1").await?;
    let rows = db.query(&statement, &[&limit]).await?;
    Ok(rows.into_iter().map(Item::try_from).collect::<Result<_, _>>()?)
}

pub(crate) async fn order(db: &impl GenericClient, id: i64) -> Result<Order, AppError> {
    let statement = db.prepare_cached("select id, item, count from orders where id = $1").await?;
    let row = db.query_opt(&statement, &[&id]).await?.ok_or(AppError::NotFound)?;
    Ok(Order { id: row.try_get("id")?, item: row.try_get("item")?, count: row.try_get("count")? })
}

/// Takes the stock and records the order, or does neither.
pub(crate) async fn place_order(client: &mut Client, item: i64, count: i32) -> Result<i64, AppError> {
    let transaction = client.transaction().await?;
    take_stock(&transaction, item, count).await?;
    let order = record_order(&transaction, item, count).await?;
    transaction.commit().await?;
    Ok(order)
}

async fn take_stock(db: &impl GenericClient, item: i64, count: i32) -> Result<(), AppError> {
    let sql = "update items set stock = stock - $2 where id = $1 and stock >= $2";
    let statement = db.prepare_cached(sql).await?;
    if db.execute(&statement, &[&item, &count]).await? == 0 {
        let item = self::item(db, item).await?;
        tracing::debug!(item.id, item.stock, count, "too many are wanted");
        return Err(AppError::OutOfStock);
    }
    Ok(())
}

async fn record_order(db: &impl GenericClient, item: i64, count: i32) -> Result<i64, AppError> {
    let statement =
        db.prepare_cached("insert into orders (item, count) values ($1, $2) returning id").await?;
    Ok(db.query_one(&statement, &[&item, &count]).await?.try_get(0)?)
}
