//! The one table from what went wrong to a status, and the body that tells it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::{ErrorKind, InferError};

/// How long a caller who was turned away should wait, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The HTTP status of every kind of failure.
pub(super) fn http_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::EmptyBody | ErrorKind::InvalidRequest | ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::RouteNotFound | ErrorKind::ModelNotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::PayloadTooLarge | ErrorKind::ImageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMediaType | ErrorKind::UnsupportedImage => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::InvalidImage | ErrorKind::WrongTask | ErrorKind::ModelRefused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::InferenceFailed | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A failure as RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// The status' own words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// [`ErrorKind::code`]: stable, to match on.
    code: &'static str,
    /// What happened and what to do about it.
    detail: String,
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Self {
        let status = http_status(error.kind);
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: error.kind.code(),
            detail: error.message,
        }
    }
}

impl IntoResponse for InferError {
    fn into_response(self) -> Response {
        let status = http_status(self.kind);
        let turned_away = matches!(self.kind, ErrorKind::Overloaded | ErrorKind::Unavailable);
        let mut response = (status, axum::Json(Problem::from(self))).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if turned_away {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
