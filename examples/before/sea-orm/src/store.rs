//! The statements.

#[cfg(test)]
mod tests;

use futures_util::TryStreamExt as _;
use sea_orm::prelude::*;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, ExprTrait as _, QuerySelect as _, Set, StreamTrait,
    TransactionTrait as _,
};

use crate::entities::{item, order};
use crate::error::AppError;

pub(crate) async fn add_item(db: &impl ConnectionTrait, name: String, stock: i32) -> Result<i64, DbErr> {
    let item = item::ActiveModel { name: Set(name), stock: Set(stock), ..Default::default() };
    Ok(item.insert(db).await?.id)
}

pub(crate) async fn item(db: &impl ConnectionTrait, id: i64) -> Result<item::Model, AppError> {
    item::Entity::find_by_id(id).one(db).await?.ok_or(AppError::NotFound)
}

pub(crate) async fn items(
    db: &(impl ConnectionTrait + StreamTrait),
    limit: u64,
) -> Result<Vec<item::Model>, DbErr> {
    let items = item::Entity::find().order_by_id_asc().limit(limit).stream(db).await?;
    items.try_collect().await
}

pub(crate) async fn order(db: &impl ConnectionTrait, id: i64) -> Result<order::Model, AppError> {
    order::Entity::find_by_id(id).one(db).await?.ok_or(AppError::NotFound)
}

/// Takes the stock and records the order, or does neither.
pub(crate) async fn place_order(db: &DatabaseConnection, item: i64, count: i32) -> Result<i64, AppError> {
    let tx = db.begin().await?;
    take_stock(&tx, item, count).await?;
    let order = record_order(&tx, item, count).await?;
    tx.commit().await?;
    Ok(order)
}

async fn take_stock(db: &impl ConnectionTrait, item: i64, count: i32) -> Result<(), AppError> {
    let updated = item::Entity::update_many()
        .col_expr(item::Column::Stock, Expr::col(item::Column::Stock).sub(count))
        .filter(item::COLUMN.id.eq(item))
        .filter(item::COLUMN.stock.gte(count))
        .exec(db)
        .await?;
    if updated.rows_affected == 0 {
        let item = self::item(db, item).await?;
        tracing::debug!(item.id, item.stock, count, "too many are wanted");
        return Err(AppError::OutOfStock);
    }
    Ok(())
}

async fn record_order(tx: &DatabaseTransaction, item: i64, count: i32) -> Result<i64, DbErr> {
    let order = order::ActiveModel { item_id: Set(item), count: Set(count), ..Default::default() };
    Ok(order.insert(tx).await?.id)
}
