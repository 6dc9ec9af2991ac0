//! A request as it comes in: the terms that its head asks for, then its pictures, read within them.

use axum::extract::{FromRequest, Request};
use axum::http::{Extensions, HeaderMap, header};
use bytes::Bytes;

use super::body::{self, Pictures};
use super::state::AppState;
use crate::admission::Priority;
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::Engine;
use crate::oip;
use crate::request::Terms;
use crate::telemetry::Trace;

/// Milliseconds that the sender allows the request.
const TIMEOUT_HEADER: &str = "x-request-timeout-ms";
/// `high` or `normal`.
const PRIORITY_HEADER: &str = "x-request-priority";

/// Pictures, and how their sender wants to be treated.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) pictures: Pictures,
    pub(super) terms: Terms,
}

impl FromRequest<AppState> for Incoming {
    type Rejection = InferError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        let mut terms = terms(&request, state)?;
        let pictures = within(&terms, Pictures::from_request(request, state), state).await?;
        let bytes = pictures.images.iter().map(|image| image.len() as u64).sum();
        terms.body.iter_mut().for_each(|share| share.shrink_to(bytes));
        Ok(Self { pictures, terms })
    }
}

/// A request's terms and its whole body.
///
/// # Errors
/// For a body that breaks off, is too large or too late, and for terms that can't be read.
pub(super) async fn read_all(request: Request, state: &AppState) -> Result<(Terms, Bytes)> {
    let mut terms = terms(&request, state)?;
    let body = within(&terms, body::read_all(request, state), state).await?;
    terms.body.iter_mut().for_each(|share| share.shrink_to(body.len() as u64));
    Ok((terms, body))
}

/// A body that is read in time.
async fn within<T>(terms: &Terms, body: impl Future<Output = Result<T>>, state: &AppState) -> Result<T> {
    terms.deadline.bound(body).await.inspect_err(|error| state.engine.reject(None, error))
}

fn terms(request: &Request, state: &AppState) -> Result<Terms> {
    let headers = request.headers();
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let message = format!("a body in the content encoding {encoding:?} isn't read here; send it as it is");
        return Err(InferError::new(ErrorKind::UnsupportedMediaType, message));
    }
    let deadline = state.engine.deadline(timeout_ms(headers)?);
    let share = state.engine.take_memory(body_bytes(headers, state.max_body_bytes))?;
    let (trace, asked) = (trace(request.extensions()), request.extensions().get().cloned().unwrap_or_default());
    Ok(Terms { deadline, priority: priority(headers)?, body: Some(share), trace, asked })
}

/// Where what a request does is told.
pub(super) fn trace(extensions: &Extensions) -> Trace {
    extensions.get().cloned().unwrap_or_else(Trace::none)
}

/// What the body takes in memory: what it says of itself, or else as much as a body may have.
fn body_bytes(headers: &HeaderMap, most: usize) -> u64 {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    declared.unwrap_or(u64::MAX).min(most as u64)
}

fn timeout_ms(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let milliseconds =
        value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|number| *number > 0);
    milliseconds.map(Some).ok_or_else(|| {
        let message = format!("{TIMEOUT_HEADER} must be a whole number of milliseconds, at least 1");
        InferError::new(ErrorKind::InvalidParameter, message)
    })
}

/// What the header for it says.
///
/// # Errors
/// `InvalidParameter` for a priority that there isn't.
pub(super) fn priority(headers: &HeaderMap) -> Result<Priority> {
    let Some(value) = headers.get(PRIORITY_HEADER) else { return Ok(Priority::Normal) };
    match value.to_str().unwrap_or_default().trim() {
        "normal" => Ok(Priority::Normal),
        "high" => Ok(Priority::High),
        _ => Err(InferError::new(ErrorKind::InvalidParameter, format!("{PRIORITY_HEADER} must be normal or high"))),
    }
}

/// What the Open Inference Protocol's parameters `priority` and `timeout` say; the first counts where the head says nothing, the second
/// where it is shorter.
pub(super) fn hurry(engine: &Engine, terms: &mut Terms, priority: u64, timeout_us: u64) {
    if terms.priority == Priority::Normal {
        terms.priority = oip::priority(priority);
    }
    if timeout_us > 0 {
        let wanted = engine.deadline(Some(timeout_us.div_ceil(1000)));
        terms.deadline = terms.deadline.clone().sooner(wanted);
    }
}
