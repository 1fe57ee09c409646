use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_pk_auto, integer, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let items = Table::create()
            .table("items")
            .col(big_pk_auto("id"))
            .col(text("name").check(Expr::col("name").ne("")))
            .col(integer("stock").check(Expr::col("stock").gte(0)))
            .take();
        manager.create_table(items).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("items").take()).await
    }
}
