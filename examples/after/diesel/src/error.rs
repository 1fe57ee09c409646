//! What a handler answers when it cannot do what it was asked for.

use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use millpond_diesel::Error as PoolError;
use serde::Serialize;

#[derive(Debug)]
pub(crate) enum AppError {
    NotFound,
    OutOfStock,
    Pool(PoolError),
    Database(DieselError),
}

impl From<PoolError> for AppError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<DieselError> for AppError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::NotFound => Self::NotFound,
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
            Self::Pool(error) => unavailable(&error),
            Self::Database(error) => of_database(&error),
        };
        (status, Json(Body { error })).into_response()
    }
}

fn of_database(error: &DieselError) -> (StatusCode, String) {
    match error {
        // What clients sent broke a constraint.
        DieselError::DatabaseError(
            DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::UniqueViolation,
            _,
        ) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        // The connection is lost.
        DieselError::DatabaseError(
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
            _,
        )
        | DieselError::BrokenTransactionManager
        | DieselError::RollbackErrorOnCommit { .. } => unavailable(error),
        // diesel tells no code: a value that is none of its type (class 22) is here too, and a server that goes down (class 57).
        _ => {
            tracing::error!(%error, "a statement failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
        }
    }
}

fn unavailable(error: &(dyn Error + 'static)) -> (StatusCode, String) {
    tracing::warn!(error, "the database is not available");
    (StatusCode::SERVICE_UNAVAILABLE, "try again later".to_owned())
}
