//! `#[sqlx::test]` gives each test a database of its own, on the server that `DATABASE_URL` names.

use std::env;
use std::process::Command;

use futures_util::stream;
use millpond_lab::Lab;
use sqlx::PgPool;

use super::*;

/// Brings a server, and runs the others of this file on it.
#[tokio::test]
async fn the_tests_that_want_a_server() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.args(["store::tests", "--ignored"]).env("DATABASE_URL", lab.primary().url("postgres"));
    let output = tokio::task::spawn_blocking(move || tests.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("test result: ok. 2 passed"), "{told}");
}

#[sqlx::test]
#[ignore = "the_tests_that_want_a_server runs it"]
async fn an_order_takes_stock_or_leaves_it(pool: PgPool) {
    let pool = millpond_sqlx::PgPool::from(pool);
    let item = add_item(&pool, "carp", 5).await.unwrap();
    let placed = place_order(&pool, item, 3).await.unwrap();
    assert_eq!(order(&pool, placed).await.unwrap().count, 3);
    assert!(matches!(place_order(&pool, item, 3).await, Err(AppError::OutOfStock)));
    // It takes stock, fails where it is recorded, and gives the stock back.
    assert!(matches!(place_order(&pool, item, -3).await, Err(AppError::Database(_))));
    assert!(matches!(place_order(&pool, item + 1, 1).await, Err(AppError::NotFound)));
    assert_eq!(self::item(&pool, item).await.unwrap().stock, 2);
}

#[sqlx::test]
#[ignore = "the_tests_that_want_a_server runs it"]
async fn an_import_that_breaks_off_leaves_nothing(pool: PgPool) {
    let pool = millpond_sqlx::PgPool::from(pool);
    let csv = || vec![Ok(Bytes::from("carp,3\n")), Ok(Bytes::from("tench,4\n"))];
    let broken = csv().into_iter().chain([Err(())]);
    assert!(matches!(import_items(&pool, stream::iter(broken)).await, Err(AppError::BadRequest(_))));
    assert_eq!(items(&pool, 10).await.unwrap().len(), 0);
    assert_eq!(import_items(&pool, stream::iter(csv())).await.unwrap(), 2);
}
