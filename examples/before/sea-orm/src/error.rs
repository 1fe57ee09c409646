//! What a handler answers when it cannot do what it was asked for.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sea_orm::{DbErr, RuntimeErr, SqlxError};
use serde::Serialize;

#[derive(Debug)]
pub(crate) enum AppError {
    NotFound,
    OutOfStock,
    Database(DbErr),
}

impl From<DbErr> for AppError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }

        let (status, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::OutOfStock => (StatusCode::CONFLICT, "out of stock".to_owned()),
            Self::Database(error) => of_database(&error),
        };
        (status, Json(Body { error })).into_response()
    }
}

fn of_database(error: &DbErr) -> (StatusCode, String) {
    let of_driver = of_driver(error);
    let code = of_driver.and_then(SqlxError::as_database_error).and_then(|error| error.code());
    let code = code.as_deref().unwrap_or_default();
    // What clients sent broke a constraint (class 23), or is no value of its type (class 22).
    if code.starts_with("23") || code.starts_with("22") {
        return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    }
    let is_without_connection = matches!(error, DbErr::ConnectionAcquire(_));
    if is_without_connection || of_driver.is_some_and(|error| is_unavailable(error, code)) {
        tracing::warn!(%error, "the database is not available");
        return (StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned());
    }
    tracing::error!(%error, "a statement failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
}

fn of_driver(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// Whether the same request may well be served in a moment.
fn is_unavailable(error: &SqlxError, code: &str) -> bool {
    match error {
        SqlxError::Io(_) | SqlxError::Tls(_) | SqlxError::Protocol(_) => true,
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::WorkerCrashed => true,
        // Connections, resources, and a server that goes down or comes up.
        SqlxError::Database(_) => ["08", "53", "57P"].iter().any(|class| code.starts_with(class)),
        _ => false,
    }
}
