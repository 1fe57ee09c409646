//! Without a server, on what it would answer.

use sea_orm::{DatabaseBackend, MockDatabase, MockExecResult};

use super::*;

fn connection(mock: MockDatabase) -> DatabaseConnection {
    mock.into_connection()
}

/// One whose update changes so many rows.
fn that_changes(rows_affected: u64) -> MockDatabase {
    let changed = MockExecResult { last_insert_id: 0, rows_affected };
    MockDatabase::new(DatabaseBackend::Postgres).append_exec_results([changed])
}

#[tokio::test]
async fn an_order_has_the_number_that_it_was_recorded_with() {
    let recorded = order::Model { id: 7, item_id: 1, count: 2 };
    let db = connection(that_changes(1).append_query_results([[recorded]]));
    assert_eq!(place_order(&db, 1, 2).await.unwrap(), 7);
}

#[tokio::test]
async fn an_order_of_more_than_there_is_or_of_nothing_is_refused() {
    let carp = item::Model { id: 1, name: "carp".to_owned(), stock: 1 };
    let db = connection(that_changes(0).append_query_results([[carp]]));
    assert!(matches!(place_order(&db, 1, 2).await, Err(AppError::OutOfStock)));
    let db = connection(that_changes(0).append_query_results([[] as [item::Model; 0]]));
    assert!(matches!(place_order(&db, 1, 2).await, Err(AppError::NotFound)));
}
