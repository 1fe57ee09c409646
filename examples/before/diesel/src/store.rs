//! The statements.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::schema::{items, orders};

pub(crate) type Pool = diesel_async::pooled_connection::deadpool::Pool<AsyncPgConnection>;

#[derive(Debug, Queryable, Selectable, Serialize)]
#[diesel(check_for_backend(Pg))]
pub(crate) struct Item {
    id: i64,
    name: String,
    stock: i32,
}

#[derive(Debug, Deserialize, Insertable)]
#[diesel(table_name = items)]
pub(crate) struct NewItem {
    name: String,
    stock: i32,
}

#[derive(Debug, Queryable, Selectable, Serialize)]
#[diesel(check_for_backend(Pg))]
pub(crate) struct Order {
    id: i64,
    item: i64,
    count: i32,
}

pub(crate) async fn add_item(conn: &mut AsyncPgConnection, new: &NewItem) -> QueryResult<i64> {
    diesel::insert_into(items::table).values(new).returning(items::id).get_result(conn).await
}

pub(crate) async fn item(conn: &mut AsyncPgConnection, id: i64) -> QueryResult<Item> {
    items::table.find(id).select(Item::as_select()).first(conn).await
}

pub(crate) async fn items(conn: &mut AsyncPgConnection, limit: i64) -> QueryResult<Vec<Item>> {
    items::table.select(Item::as_select()).order(items::id).limit(limit).load(conn).await
}

pub(crate) async fn order(conn: &mut AsyncPgConnection, id: i64) -> QueryResult<Order> {
    orders::table.find(id).select(Order::as_select()).first(conn).await
}

/// Takes the stock and records the order, or does neither.
pub(crate) async fn place_order(pool: &Pool, item: i64, count: i32) -> Result<i64, AppError> {
    let mut conn = pool.get().await?;
    conn.transaction(async move |conn| {
        take_stock(conn, item, count).await?;
        Ok(record_order(conn, item, count).await?)
    })
    .await
}

async fn take_stock(conn: &mut AsyncPgConnection, item: i64, count: i32) -> Result<(), AppError> {
    let in_stock = items::table.find(item).filter(items::stock.ge(count));
    let updated = diesel::update(in_stock).set(items::stock.eq(items::stock - count)).execute(conn).await?;
    if updated == 0 {
        let item = self::item(conn, item).await?;
        tracing::debug!(item.id, item.stock, count, "too many are wanted");
        return Err(AppError::OutOfStock);
    }
    Ok(())
}

async fn record_order(conn: &mut AsyncPgConnection, item: i64, count: i32) -> QueryResult<i64> {
    let order = (orders::item.eq(item), orders::count.eq(count));
    diesel::insert_into(orders::table).values(order).returning(orders::id).get_result(conn).await
}
