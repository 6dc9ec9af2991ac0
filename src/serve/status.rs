//! The one table from what went wrong to a status, and the HTTP body that tells it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::Code;
use utoipa::ToSchema;

use crate::error::{ErrorKind, InferError};

/// Long enough for what is in flight to end.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The HTTP status and the gRPC code of every kind of failure.
fn statuses(kind: ErrorKind) -> (StatusCode, Code) {
    match kind {
        ErrorKind::EmptyBody | ErrorKind::InvalidRequest | ErrorKind::InvalidParameter => {
            (StatusCode::BAD_REQUEST, Code::InvalidArgument)
        }
        ErrorKind::RouteNotFound => (StatusCode::NOT_FOUND, Code::Unimplemented),
        ErrorKind::ModelNotFound => (StatusCode::NOT_FOUND, Code::NotFound),
        ErrorKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
        // not RESOURCE_EXHAUSTED: it would be as large when it comes again
        ErrorKind::PayloadTooLarge | ErrorKind::ImageTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange),
        ErrorKind::UnsupportedMediaType | ErrorKind::UnsupportedImage => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument)
        }
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
        ErrorKind::RoleMissing | ErrorKind::Forbidden => (StatusCode::FORBIDDEN, Code::PermissionDenied),
        ErrorKind::InvalidImage => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument),
        ErrorKind::WrongTask | ErrorKind::ModelRefused => (StatusCode::UNPROCESSABLE_ENTITY, Code::FailedPrecondition),
        ErrorKind::RateLimited | ErrorKind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
        ErrorKind::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        ErrorKind::InferenceFailed | ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

/// The HTTP status of a kind of failure.
pub(super) fn http_status(kind: ErrorKind) -> StatusCode {
    statuses(kind).0
}

/// The gRPC code of a kind of failure.
pub(super) fn grpc_code(kind: ErrorKind) -> Code {
    statuses(kind).1
}

/// How long a caller who was turned away, and may come again, should wait.
pub(super) fn retry_after(kind: ErrorKind) -> Option<Duration> {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::RateLimited | ErrorKind::Unavailable).then_some(RETRY_AFTER)
}

/// A failure as RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status' own words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable, to match on.
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
        let retry_after = retry_after(self.kind);
        let mut response = (status, axum::Json(Problem::from(self))).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response
    }
}
