//! What can go wrong with a request, as a closed set. The faces map it to their own status codes in one table.

use std::fmt;

/// A request's failure: a kind for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InferError {
    /// What class of failure it is; decides the status.
    pub kind: ErrorKind,
    /// What happened and what to do about it, for the caller. Holds no path and no secret.
    pub message: String,
    /// Why the server turned the request away, where it could have answered it at another time.
    pub rejection: Option<Rejection>,
}

/// Why the server turned a request away that it could have answered at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The model has as many pictures in flight as it may.
    QueueFull,
    /// The server has as many pictures in flight as it may.
    ServerFull,
    /// The memory for bodies and decoded pictures is in use.
    Memory,
    /// The model is out of service.
    NotReady,
    /// The server is on its way to its end.
    Draining,
    /// The request's time was up.
    Deadline,
    /// The API key was used more often than it may be.
    RateLimited,
    /// As many clients are connected as may be.
    Connections,
}

impl Rejection {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::ServerFull,
        Self::Memory,
        Self::NotReady,
        Self::Draining,
        Self::Deadline,
        Self::RateLimited,
        Self::Connections,
    ];

    /// Its name in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ServerFull => "server_full",
            Self::Memory => "memory",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Deadline => "deadline",
            Self::RateLimited => "rate_limited",
            Self::Connections => "connections",
        }
    }
}

/// Longest message that is told.
const MAX_MESSAGE_BYTES: usize = 1000;

/// Result of a request's step.
pub type Result<T> = std::result::Result<T, InferError>;

impl InferError {
    /// An error of `kind` that tells the caller `message`. Of a long message the beginning is kept: much of it may be what the caller
    /// sent.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push_str(" ...");
        }
        Self { kind, message, rejection: None }
    }

    /// The same, told as a rejection.
    #[must_use]
    pub fn because(self, rejection: Rejection) -> Self {
        Self { rejection: Some(rejection), ..self }
    }
}

/// Every class of failure that a request can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request's body is empty.
    EmptyBody,
    /// The request can't be read: bad JSON, bad multipart, no image in it.
    InvalidRequest,
    /// A parameter is unknown or out of its range.
    InvalidParameter,
    /// Nothing is served at this path.
    RouteNotFound,
    /// The path is served, but not with this method.
    MethodNotAllowed,
    /// The body's content type is none that the route takes.
    UnsupportedMediaType,
    /// The body has more bytes than the server takes.
    PayloadTooLarge,
    /// The bytes are no picture in a format that the server decodes.
    UnsupportedImage,
    /// The picture is damaged: truncated or corrupt.
    InvalidImage,
    /// The picture has more pixels than the server decodes.
    ImageTooLarge,
    /// No model of this name or version is served.
    ModelNotFound,
    /// The model is of another task than the route.
    WrongTask,
    /// The request shows no key that is known.
    Unauthenticated,
    /// The key isn't for this.
    RoleMissing,
    /// The key is used too often.
    RateLimited,
    /// The operator doesn't allow the call.
    Forbidden,
    /// A model that was to be loaded can't be served.
    ModelRefused,
    /// The server takes no more work just now.
    Overloaded,
    /// The request's time is up.
    DeadlineExceeded,
    /// The server or the model isn't ready, or is shutting down.
    Unavailable,
    /// The model failed on this input.
    InferenceFailed,
    /// A defect of the server.
    Internal,
}

impl ErrorKind {
    /// The stable code that clients may match on.
    pub fn code(self) -> &'static str {
        match self {
            Self::EmptyBody => "empty_body",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidParameter => "invalid_parameter",
            Self::RouteNotFound => "route_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedImage => "unsupported_image",
            Self::InvalidImage => "invalid_image",
            Self::ImageTooLarge => "image_too_large",
            Self::ModelNotFound => "model_not_found",
            Self::WrongTask => "wrong_task",
            Self::Unauthenticated => "unauthenticated",
            Self::RoleMissing => "role_missing",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::ModelRefused => "model_refused",
            Self::Overloaded => "overloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::InferenceFailed => "inference_failed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_bounded_length_and_whole_characters() {
        let error = InferError::new(ErrorKind::InvalidParameter, "ü".repeat(5000));
        assert_eq!(error.message.chars().filter(|letter| *letter == 'ü').count(), MAX_MESSAGE_BYTES / 2);
        assert!(error.message.ends_with(" ..."));
    }
}
