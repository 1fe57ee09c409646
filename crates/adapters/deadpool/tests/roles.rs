//! Pools of deadpool-postgres that follow roles, on real servers.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use millpond_cluster::core::Role;
use millpond_cluster::in_words;
use millpond_deadpool::{primary, replica, verifies_role};
use millpond_lab::{Lab, StopMode};
use millpond_postgres::Db;
use tokio_postgres::Config;

fn pool(connect: impl Connect + 'static, role: Option<Role>) -> Pool {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(Config::new(), connect, config);
    let pool = Pool::builder(manager).max_size(4).runtime(Runtime::Tokio1);
    match role {
        Some(role) => pool.pre_recycle(verifies_role(role)).build().unwrap(),
        None => pool.build().unwrap(),
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

async fn up(replicas: usize) -> (Lab, Db) {
    let lab = Lab::builder().replicas(replicas).up().await.unwrap();
    lab.primary().ask("postgres", "create table item (id int)").await.unwrap();
    lab.caught_up().await.unwrap();
    let builder = Db::builder(&lab.url("postgres")).unwrap().probe_interval(Duration::from_millis(50));
    (lab, builder.connect().await.unwrap())
}

/// What a caller of a pool asks, by a statement that its connection keeps prepared.
async fn is_replica(pool: &Pool) -> Result<bool, String> {
    let client = pool.get().await.map_err(|error| in_words(&error))?;
    let statement =
        client.prepare_cached("select pg_is_in_recovery()").await.map_err(|error| error.to_string())?;
    Ok(client.query_one(&statement, &[]).await.map_err(|error| error.to_string())?.get(0))
}

#[tokio::test]
async fn a_pool_of_the_primary_follows_it() {
    let (lab, db) = up(1).await;
    let (plain, verified) = (pool(primary(&db), None), pool(primary(&db), Some(Role::Primary)));
    for pool in [&plain, &verified] {
        assert_eq!(is_replica(pool).await, Ok(false));
    }
    // One that rests, and one that is in use.
    let held = plain.get().await.unwrap();
    lab.primary().kill().await.unwrap();
    lab.node("db-1").unwrap().promote().await.unwrap();
    until("the one that is out is closed", async || held.is_closed()).await;
    for pool in [&plain, &verified] {
        until("it leads to the new one", async || is_replica(pool).await == Ok(false)).await;
        let client = pool.get().await.unwrap();
        client.execute("insert into item values (1)", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_pool_of_replicas_reads_there_refuses_writes_and_leaves_one_that_lags() {
    let (lab, db) = up(1).await;
    let pool = pool(replica(&db), None);
    until("a replica reads", async || is_replica(&pool).await == Ok(true)).await;
    let held = pool.get().await.unwrap();
    let error = held.execute("insert into item values (1)", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");
    drop(held);
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    lab.primary().ask("postgres", "insert into item values (1)").await.unwrap();
    until("it is too old", async || is_replica(&pool).await == Ok(false)).await;
    let of_primary = pool.get().await.unwrap();
    let error = of_primary.execute("insert into item values (1)", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006", "there, too, it only reads");
    drop(of_primary);
    db.nodes().drain(&format!("127.0.0.1:{}", lab.node("db-1").unwrap().port())).unwrap();
    lab.node("db-1").unwrap().resume_replay().await.unwrap();
    assert_eq!(is_replica(&pool).await, Ok(false), "it is drained");
}

#[tokio::test]
async fn a_pool_of_replicas_that_had_to_go_to_the_primary_comes_back() {
    let (lab, db) = up(1).await;
    let pool = pool(replica(&db), None);
    until("it reads on the replica", async || is_replica(&pool).await == Ok(true)).await;
    lab.node("db-1").unwrap().stop(StopMode::Fast).await.unwrap();
    until("it reads on the primary", async || is_replica(&pool).await == Ok(false)).await;
    let client = pool.get().await.unwrap();
    let refused = client.execute("create table mine (a int)", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|state| state.code()), Some("25006"));
    drop(client);
    lab.node("db-1").unwrap().start().await.unwrap();
    until("it reads on the replica again", async || is_replica(&pool).await == Ok(true)).await;
}

#[tokio::test]
async fn that_there_is_no_primary_is_what_the_pool_says() {
    let (lab, db) = up(0).await;
    let pool = pool(primary(&db).patience(Duration::from_millis(100)), None);
    lab.primary().stop(StopMode::Immediate).await.unwrap();
    until("it says so", async || {
        is_replica(&pool).await.is_err_and(|error| error.contains("no node takes writes"))
    })
    .await;
}
