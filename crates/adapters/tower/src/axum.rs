//! The session as an extractor, and errors as answers, for axum.

use std::time::Duration;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use http::request::Parts;
use millpond_cluster::{Error, ErrorKind};

use crate::CurrentSession;

/// The route has no [`SessionLayer`](crate::SessionLayer) of that session.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoSession;

impl IntoResponse for NoSession {
    fn into_response(self) -> Response {
        tracing::error!(target: "millpond", "a handler wants a session, and its route has no SessionLayer");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl<S: Sync, T: Clone + Send + Sync + 'static> FromRequestParts<S> for CurrentSession<T> {
    type Rejection = NoSession;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoSession> {
        parts.extensions.get::<Self>().cloned().ok_or(NoSession)
    }
}

/// An error as an answer that says no more than it must: 503 with `Retry-After` where another try may help soon (too many callers, no primary, no connection), 504
/// where the time was over, and 500. The error itself goes to the log.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is an error and nothing else")]
pub struct Unavailable(
    /// The error.
    pub Error,
);

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        tracing::warn!(target: "millpond", error = %self.0, "a request failed");
        let status = match self.0.kind() {
            ErrorKind::Overloaded | ErrorKind::NoPrimary | ErrorKind::NoReplica | ErrorKind::Acquire => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let pause = HeaderValue::from(Duration::from_secs(1).as_secs());
            response.headers_mut().insert(RETRY_AFTER, pause);
        }
        response
    }
}
