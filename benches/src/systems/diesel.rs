//! diesel-async: its pool, and ours in its place.

use std::fmt;

use anyhow::Result;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, deadpool};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use millpond_diesel::{Mode, Pool};

use super::{System, Target, WAIT_TIMEOUT};

mod schema {
    diesel::table! {
        item (id) {
            id -> Integer,
            stock -> Integer,
            name -> Text,
        }
    }
}

use schema::item;

async fn point(connection: &mut AsyncPgConnection, key: i32) -> Result<i32> {
    let row: (i32, i32, String) = item::table.filter(item::id.eq(key)).first(connection).await?;
    Ok(row.1)
}

/// A pool of deadpool's, as diesel-async has one, with its default settings but the two that all systems share.
pub struct Handmade {
    pool: deadpool::Pool<AsyncPgConnection>,
}

impl fmt::Debug for Handmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handmade").finish_non_exhaustive()
    }
}

impl System for Handmade {
    const NAME: &'static str = "diesel-async";

    async fn connect(target: &Target) -> Result<Self> {
        let manager = AsyncDieselConnectionManager::new(&target.url);
        let pool = deadpool::Pool::builder(manager).max_size(target.connections);
        let pool = pool.wait_timeout(Some(WAIT_TIMEOUT)).runtime(::deadpool::Runtime::Tokio1).build()?;
        Ok(Self { pool })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        point(&mut *self.pool.get().await?, key).await
    }

    async fn close(&self) {
        self.pool.close();
    }
}

/// `millpond_diesel::Pool`, told to route; each read has a lease for reading.
#[derive(Debug)]
pub struct Adapter {
    pool: Pool,
}

impl System for Adapter {
    const NAME: &'static str = "millpond-diesel";

    async fn connect(target: &Target) -> Result<Self> {
        let builder = Pool::builder(&target.url)?.max_size(target.connections).mode(Mode::Route);
        Ok(Self { pool: Pool::connect_with(builder.acquire_timeout(WAIT_TIMEOUT)).await? })
    }

    async fn point(&self, _: usize, key: i32) -> Result<i32> {
        point(&mut *self.pool.read().await?, key).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
