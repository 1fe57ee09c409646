//! Managers of deadpool's in the engine: one that does what the test tells it, and that of deadpool-postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ManagerConfig, RecyclingMethod};
use millpond_deadpool::{Error, Managed, builder};
use millpond_lab::Lab;
use millpond_pool::CloseReason;
use tokio_postgres::NoTls;

#[derive(Clone, Default)]
struct Counting {
    created: Arc<AtomicUsize>,
    recycled: Arc<AtomicUsize>,
    detached: Arc<AtomicUsize>,
    is_dead: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

impl Manager for Counting {
    type Type = usize;
    type Error = No;

    async fn create(&self) -> Result<usize, No> {
        Ok(self.created.fetch_add(1, Ordering::SeqCst))
    }

    async fn recycle(&self, _: &mut usize, metrics: &Metrics) -> RecycleResult<No> {
        assert_eq!(metrics.recycle_count, self.recycled.fetch_add(1, Ordering::SeqCst));
        if self.is_dead.load(Ordering::SeqCst) { Err(RecycleError::message("dead")) } else { Ok(()) }
    }

    fn detach(&self, _: &mut usize) {
        self.detached.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_object_is_detached_when_it_is_taken_and_when_a_hook_refuses_it() {
    let manager = Counting::default();
    let pool = builder(manager.clone()).build().unwrap();
    let taken = pool.acquire().await.unwrap().detach();
    assert_eq!((*taken, manager.detached.load(Ordering::SeqCst)), (0, 1));
    let refusing = builder(manager.clone()).after_connect(|_| Box::pin(async { Err(Error::Create(No)) }));
    assert!(refusing.build().unwrap().acquire().await.is_err());
    assert_eq!(manager.detached.load(Ordering::SeqCst), manager.created.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_object_is_recycled_before_anybody_else_gets_it_and_detached_in_the_end() {
    let manager = Counting::default();
    let pool = builder(manager.clone()).max_size(1).build().unwrap();
    for turn in 0..3 {
        let object = pool.acquire().await.unwrap();
        assert_eq!((**object, object.metrics().recycle_count), (0, turn));
        assert_eq!(object.metrics().recycled.is_some(), turn > 0);
    }
    // Somebody waits for it already.
    let held = pool.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap().metrics().recycle_count }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert_eq!(waiter.await.unwrap(), 4);
    let last = pool.acquire().await.unwrap();
    manager.is_dead.store(true, Ordering::SeqCst);
    drop(last);
    assert_eq!(**pool.acquire().await.unwrap(), 1);
    assert_eq!(manager.detached.load(Ordering::SeqCst), 1);
    assert_eq!(pool.snapshot().counters.closed(CloseReason::ResetFailed), 1);
    let Managed(found) = pool.manager();
    assert_eq!(found.created.load(Ordering::SeqCst), 2);
    assert!(pool.close_within(Duration::from_secs(5)).await);
    assert_eq!(manager.detached.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn clients_of_deadpool_postgres_keep_their_cached_statements() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let config = lab.url("postgres").parse().unwrap();
    let recycling_method = RecyclingMethod::Verified;
    let manager = deadpool_postgres::Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
    let pool = builder(manager).max_size(1).build().unwrap();
    for _ in 0..3 {
        let client = pool.acquire().await.unwrap();
        let statement = client.prepare_cached("select 1 + $1::int").await.unwrap();
        assert_eq!(client.query_one(&statement, &[&2]).await.unwrap().get::<_, i32>(0), 3);
        assert_eq!(client.statement_cache.size(), 1);
    }
    assert_eq!(pool.snapshot().counters.opened, 1);
    lab.primary().stop(millpond_lab::StopMode::Immediate).await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert!(error.cause().is_some(), "{error}");
}
