//! A request's span, in the words of OpenTelemetry's conventions for HTTP and gRPC servers.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use tonic::Code;

use crate::telemetry::Span;

/// What is asked so often, and tells so little, that it is traced only where its caller is.
pub(super) fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz" | "/metrics" | "/v2/health/live" | "/v2/health/ready")
        || route.starts_with("/grpc.health.v1.Health/")
        || matches!(route.strip_prefix("/inference.GRPCInferenceService/"), Some("ServerLive" | "ServerReady"))
}

/// What is known of a request by its head. `route` is the pattern that its path fits, empty where none does.
pub(super) fn describe(span: &mut Span, request: &Request, route: &str) {
    if !span.trace().is_recorded() {
        return;
    }
    if is_grpc(request.headers()) {
        let method = route.trim_start_matches('/');
        let method = if route.is_empty() { "_OTHER" } else { method };
        span.rename(method.to_owned());
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", method.to_owned());
        return;
    }
    let method = method_name(request.method());
    let named = if method == "_OTHER" { "HTTP" } else { method };
    span.set("http.request.method", method);
    if route.is_empty() {
        span.rename(named);
    } else {
        span.rename(format!("{named} {route}"));
        span.set("http.route", route.to_owned());
    }
    span.set("url.path", request.uri().path().to_owned());
    span.set("url.scheme", "http");
    span.set("network.protocol.version", if request.version() == Version::HTTP_2 { "2" } else { "1.1" });
}

/// A method of those that HTTP knows.
fn method_name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
}

/// What the caller did wrong is no failure of the server's.
pub(super) fn answered_http(span: &mut Span, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    let failure = status.is_server_error().then(|| status.as_str().to_owned());
    span.settle(failure.clone(), failure.map(|_| status.canonical_reason().unwrap_or_default()));
}

/// What gRPC's conventions call an error of the server; to be turned away for want of room is none.
pub(super) fn answered_grpc(span: &mut Span, code: Code, name: &'static str) {
    span.set("rpc.response.status_code", name);
    let faults =
        [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable, Code::DataLoss];
    let failure = faults.contains(&code).then_some(name);
    span.settle(failure, failure);
}

/// Whether a message with this head is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
