//! Counts, logs and traces each request once, under its route's pattern, never under the path that the caller made up.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use tonic::{Code, Status};

use super::gate::Caller;
use super::identity::{Identity, parent};
use super::spans::{self, is_grpc};
use crate::infer::Engine;
use crate::metrics::{Active, Answered, Protocol};
use crate::request::Asked;
use crate::telemetry::Span;

/// Observes a request to its end: over HTTP the head of its answer, over gRPC the status, which follows the answer.
pub(super) async fn observe(State(engine): State<Arc<Engine>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    let mut span = engine.tracer.request(parent(request.headers()), !spans::is_probe(&route));
    spans::describe(&mut span, &request, &route);
    let identity = Identity::of(&request, span.trace());
    request.extensions_mut().insert(span.trace().clone());
    let method = request.method().clone();
    let protocol = if is_grpc(request.headers()) { Protocol::Grpc } else { Protocol::Http };
    let active = engine.counts.then(|| engine.metrics.begin(protocol, method.as_str()));
    let asked = Asked::default();
    request.extensions_mut().insert(asked.clone());
    let mut seen = Seen { engine, method, route, asked, caller: None, started, span, identity, active };
    let mut response = next.run(request).await;
    seen.identity.tell(response.headers_mut());
    if let Some(Caller(name)) = response.extensions().get() {
        seen.caller = Some(Arc::clone(name));
    }
    if !is_grpc(response.headers()) {
        spans::answered_http(&mut seen.span, response.status());
        seen.tell(Protocol::Http, response.status().as_str());
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) => {
            seen.tell_code(status.code());
            response
        }
        None => response.map(|body| until_its_status(body, seen)),
    }
}

/// The same body; its last frame tells the status.
fn until_its_status(body: Body, seen: Seen) -> Body {
    let mut unfinished = Unfinished(Some(seen));
    Body::new(body.map_frame(move |frame| {
        if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
            unfinished.tell(status.code());
        }
        frame
    }))
}

/// A request, as far as it is told of.
struct Seen {
    engine: Arc<Engine>,
    method: Method,
    route: String,
    asked: Asked,
    /// Whose key it has shown.
    caller: Option<Arc<str>>,
    started: Instant,
    span: Span,
    identity: Identity,
    #[expect(dead_code, reason = "held for its drop")]
    active: Option<Active>,
}

impl Seen {
    fn tell(&self, protocol: Protocol, status: &str) {
        let Self { engine, method, route, asked, started, identity, .. } = self;
        let (duration, model) = (started.elapsed(), asked.model());
        if engine.counts {
            let answered = Answered { protocol, method: method.as_str(), route, status, duration };
            engine.metrics.record_request(&answered, model.map(|model| &*model.metrics));
        }
        let model = model.map_or("", |model| model.directory.name.as_str());
        let caller = self.caller.as_deref();
        let Identity { trace_id, request_id, .. } = identity;
        let duration_ms = duration.as_secs_f64() * 1e3;
        tracing::info!(%method, route, model, status, duration_ms, caller, trace_id, request_id, "request");
    }

    fn tell_code(mut self, code: Code) {
        let name = code_name(code);
        spans::answered_grpc(&mut self.span, code, name);
        self.tell(Protocol::Grpc, name);
    }
}

/// A gRPC answer on its way; one that is dropped before its status is one that its client didn't wait for.
struct Unfinished(Option<Seen>);

impl Unfinished {
    fn tell(&mut self, code: Code) {
        if let Some(seen) = self.0.take() {
            seen.tell_code(code);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.tell(Code::Cancelled);
    }
}

/// The code as gRPC's documents write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
