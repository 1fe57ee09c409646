//! What a handler answers when it cannot do what it was asked for.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Debug)]
pub(crate) enum AppError {
    NotFound,
    OutOfStock,
    BadRequest(String),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            error => Self::Database(error),
        }
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
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why),
            Self::Database(error) => of_database(&error),
        };
        (status, Json(Body { error })).into_response()
    }
}

fn of_database(error: &sqlx::Error) -> (StatusCode, String) {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.as_deref().unwrap_or_default();
    // What clients sent broke a constraint (class 23), or is no value of its type (class 22).
    if code.starts_with("23") || code.starts_with("22") {
        return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    }
    if is_unavailable(error, code) {
        tracing::warn!(%error, "the database is not available");
        return (StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned());
    }
    tracing::error!(%error, "a statement failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
}

/// Whether the same request may well be served in a moment.
fn is_unavailable(error: &sqlx::Error, code: &str) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Connections, resources, and a server that goes down or comes up.
        sqlx::Error::Database(_) => ["08", "53", "57P"].iter().any(|class| code.starts_with(class)),
        _ => false,
    }
}
