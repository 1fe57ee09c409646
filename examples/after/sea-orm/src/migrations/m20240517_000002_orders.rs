use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_pk_auto, integer};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let orders = Table::create()
            .table("orders")
            .col(big_pk_auto("id"))
            .col(big_integer("item_id"))
            .col(integer("count").check(Expr::col("count").gt(0)))
            .foreign_key(ForeignKey::create().from("orders", "item_id").to("items", "id"))
            .take();
        manager.create_table(orders).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("orders").take()).await
    }
}
