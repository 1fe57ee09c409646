//! What a handler answers when it cannot do what it was asked for.

use std::error::Error as _;
use std::io;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use deadpool_postgres::PoolError;
use deadpool_postgres::tokio_postgres::Error;
use serde::Serialize;

#[derive(Debug)]
pub(crate) enum AppError {
    NotFound,
    OutOfStock,
    Pool(PoolError),
    Database(Error),
}

impl From<PoolError> for AppError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
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
            Self::Pool(error) => unavailable(&error),
            Self::Database(error) => of_database(&error),
        };
        (status, Json(Body { error })).into_response()
    }
}

fn of_database(error: &Error) -> (StatusCode, String) {
    let code = error.code().map(|state| state.code()).unwrap_or_default();
    // What clients sent broke a constraint (class 23), or is no value of its type (class 22).
    if code.starts_with("23") || code.starts_with("22") {
        return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    }
    let is_lost = error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>());
    // Connections, resources, and a server that goes down or comes up.
    if is_lost || ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) {
        return unavailable(error);
    }
    // What the server said is in its source.
    tracing::error!(error = error as &(dyn std::error::Error + 'static), "a statement failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> (StatusCode, String) {
    tracing::warn!(error, "the database is not available");
    (StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned())
}
