//! What was ordered of an item.

#![expect(unreachable_pub, reason = "the derive makes more of it public")]

use sea_orm::entity::prelude::*;
use serde::Serialize;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    #[serde(rename = "item")]
    pub item_id: i64,
    pub count: i32,
    #[sea_orm(belongs_to, from = "item_id", to = "id")]
    #[serde(skip)]
    pub item: BelongsTo<super::item::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
