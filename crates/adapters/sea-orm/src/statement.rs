//! sea-orm's statements by sqlx's executors.

use sea_orm::{DbErr, ExecResult, QueryResult, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::{AssertSqlSafe, Executor};

use crate::error::{in_execution, in_query};

pub(crate) fn query_of(statement: Statement) -> sqlx::query::Query<'static, Postgres, PgArguments> {
    let values = SqlxValues(statement.values.unwrap_or_else(|| sea_orm::Values(Vec::new())));
    sqlx::query_with(AssertSqlSafe(statement.sql), sqlx::IntoArguments::into_arguments(values))
}

pub(crate) async fn execute<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    statement: Statement,
) -> Result<ExecResult, DbErr> {
    executor.execute(query_of(statement)).await.map(ExecResult::from).map_err(in_execution)
}

pub(crate) async fn execute_unprepared<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    sql: &str,
) -> Result<ExecResult, DbErr> {
    executor.execute(AssertSqlSafe(sql.to_owned())).await.map(ExecResult::from).map_err(in_execution)
}

pub(crate) async fn query_one<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    statement: Statement,
) -> Result<Option<QueryResult>, DbErr> {
    let row = executor.fetch_optional(query_of(statement)).await;
    row.map(|row| row.map(QueryResult::from)).map_err(in_query)
}

pub(crate) async fn query_all<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    statement: Statement,
) -> Result<Vec<QueryResult>, DbErr> {
    let rows = executor.fetch_all(query_of(statement)).await.map_err(in_query)?;
    Ok(rows.into_iter().map(QueryResult::from).collect())
}
