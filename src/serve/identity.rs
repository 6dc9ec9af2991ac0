//! What a request is called: the trace that it belongs to, and the caller's own name for it. The log line and the answer say both.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::{Parent, Trace};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that a caller may give a request; a longer one is passed over.
const MAX_ID_BYTES: usize = 128;

/// What a request is called.
pub(super) struct Identity {
    pub(super) trace_id: String,
    /// The caller's own name for it.
    pub(super) request_id: Option<String>,
    traceparent: String,
}

impl Identity {
    pub(super) fn of(request: &Request, trace: &Trace) -> Self {
        let named = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = named.filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES).map(str::to_owned);
        Self { trace_id: trace.id().to_string(), request_id, traceparent: trace.traceparent() }
    }

    /// Puts it into an answer's head.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let id = self.request_id.as_ref().unwrap_or(&self.trace_id);
        for (name, text) in [(TRACEPARENT, &self.traceparent), (REQUEST_ID, id)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
    }
}

/// The span that a request says it is caused by; none where it says so twice.
pub(super) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (parent, None) = (parents.next()?, parents.next()) else { return None };
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    Parent::parse(parent.to_str().ok()?, state.as_deref())
}
