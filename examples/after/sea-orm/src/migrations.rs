//! What makes the tables.

mod m20240517_000001_items;
mod m20240517_000002_orders;

use sea_orm_migration::prelude::*;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20240517_000001_items::Migration), Box::new(m20240517_000002_orders::Migration)]
    }
}
