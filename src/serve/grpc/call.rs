//! What a call's head asks for, and the time that it is bounded by.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::super::incoming::{priority, trace};
use super::failure::CODE_KEY;
use crate::admission::Priority;
use crate::deadline::Deadline;
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::Engine;
use crate::request::Asked;
use crate::telemetry::Trace;

/// How long the caller will wait: at most eight digits and a unit.
const TIMEOUT_HEADER: &str = "grpc-timeout";

/// What a call's head asks for.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The end of its one request's time.
    pub(super) deadline: Deadline,
    /// The end of the whole stream's time, where it is one.
    pub(super) stream: Deadline,
    /// How much it matters.
    pub(super) priority: Priority,
    /// Where what it does is told.
    pub(super) trace: Trace,
    /// Whom it asks, once that is known.
    pub(super) asked: Asked,
}

/// Reads the head and bounds the call by it: reading its message, and all until its answer begins.
pub(super) async fn bound(State(engine): State<Arc<Engine>>, mut request: Request, next: Next) -> Response {
    let call = match Call::read(&engine, &request) {
        Ok(call) => call,
        Err(error) => return super::failed(error),
    };
    let deadline = call.deadline.clone();
    request.extensions_mut().insert(call);
    let answer = deadline.bound(async { Ok(next.run(request).await) }).await;
    answer.map_or_else(super::failed, name_what_is_too_large)
}

/// A message that is too large is refused before any handler sees it: the stable code is missing yet.
fn name_what_is_too_large(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let status = Status::from_header_map(headers).map(|status| status.code());
    if status == Some(Code::OutOfRange) && !headers.contains_key(CODE_KEY) {
        headers.insert(CODE_KEY, HeaderValue::from_static(ErrorKind::PayloadTooLarge.code()));
    }
    response
}

impl Call {
    fn read(engine: &Engine, request: &Request) -> Result<Self> {
        let headers = request.headers();
        let timeout = timeout(headers)?;
        let milliseconds = |timeout: Duration| u64::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        Ok(Self {
            deadline: engine.deadline(timeout.map(milliseconds)),
            stream: Deadline::after(timeout.unwrap_or(Duration::MAX), engine.shutdown.clone()),
            priority: priority(headers)?,
            trace: trace(request.extensions()),
            asked: request.extensions().get().cloned().unwrap_or_default(),
        })
    }

    /// The call that a message belongs to.
    ///
    /// # Errors
    /// Never, as long as every route is bounded.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self> {
        let missing = || InferError::new(ErrorKind::Internal, "the call's head was not read");
        request.extensions().get().cloned().ok_or_else(missing)
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(parse_timeout);
    timeout.map(Some).ok_or_else(|| {
        let message = format!("{TIMEOUT_HEADER} must be at most eight digits and one of H, M, S, m, u, n");
        InferError::new(ErrorKind::InvalidParameter, message)
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("100000000S", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("1\u{e4}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timeout(text), expected, "{text:?}");
        }
    }
}
