//! sea-orm: its own connection, and ours in its place.

use anyhow::{Context as _, Result};
use millpond_sqlx::PgPoolOptions;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait as _};

use super::{System, Target, WAIT_TIMEOUT};

mod item {
    #![expect(unreachable_pub, reason = "the derive makes more of it public")]

    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub stock: i32,
        pub name: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

async fn point(db: &impl ConnectionTrait, key: i32) -> Result<i32> {
    Ok(item::Entity::find_by_id(key).one(db).await?.context("no such item")?.stock)
}

/// `sea_orm::DatabaseConnection` with its default settings but the two that all systems share.
#[derive(Debug)]
pub struct Handmade {
    db: DatabaseConnection,
}

impl System for Handmade {
    const NAME: &'static str = "sea-orm";

    async fn connect(target: &Target) -> Result<Self> {
        let mut options = ConnectOptions::new(target.url.as_str());
        options.max_connections(u32::try_from(target.connections)?).acquire_timeout(WAIT_TIMEOUT);
        Ok(Self { db: Database::connect(options).await? })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        point(&self.db, key).await
    }

    async fn close(&self) {
        let _ = self.db.close_by_ref().await;
    }
}

/// `millpond_sea_orm::DatabaseConnection`, told to route.
#[derive(Debug)]
pub struct Adapter {
    db: millpond_sea_orm::DatabaseConnection,
}

impl System for Adapter {
    const NAME: &'static str = "millpond-sea-orm";

    async fn connect(target: &Target) -> Result<Self> {
        let options = PgPoolOptions::new().acquire_timeout(WAIT_TIMEOUT).route();
        let options = options.max_connections(u32::try_from(target.connections)?);
        Ok(Self { db: options.connect(&target.url).await?.into() })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        point(&self.db, key).await
    }

    async fn close(&self) {
        let _ = self.db.close_by_ref().await;
    }
}
