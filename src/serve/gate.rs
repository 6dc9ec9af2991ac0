//! Lets a request in if it shows a key for what it wants; the same over both faces.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::spans::{is_grpc, is_probe};
use super::{grpc, v2};
use crate::access::{OpenRoute, Role};
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::Engine;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Left on the response of a request that was let in: whose key it has shown.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<str>);

/// Where no keys are, everybody is let in.
pub(super) async fn admit(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let Some(access) = &engine.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let (role, kind) = needed(route, request.method());
    if kind.is_some_and(|kind| access.is_open(kind)) {
        return next.run(request).await;
    }
    match shown(request.headers()).and_then(|key| access.check(key, role)) {
        Ok(name) => {
            let mut response = next.run(request).await;
            response.extensions_mut().insert(Caller(name));
            response
        }
        Err(error) => {
            if let Some(rejection) = error.rejection {
                engine.metrics.record_rejection(rejection);
            }
            refusal(&request, error)
        }
    }
}

/// What a request takes, and what it is where that may be open to everybody. What nobody has thought of takes what asking a model takes.
fn needed(route: &str, method: &Method) -> (Role, Option<OpenRoute>) {
    let rpc = route.strip_prefix("/inference.GRPCInferenceService/").unwrap_or_default();
    let changes_server = matches!(rpc, "RepositoryModelLoad" | "RepositoryModelUnload")
        || route.starts_with("/v2/repository/models/")
        || (route.starts_with("/v1/models/") || route == "/v1/log") && !method.is_safe();
    match route {
        "/metrics" => (Role::Metrics, Some(OpenRoute::Metrics)),
        "/" | "/page/{name}" | "/docs" | "/docs/{name}" | "/openapi.json" => (Role::Infer, Some(OpenRoute::Page)),
        _ if is_probe(route) => (Role::Infer, Some(OpenRoute::Health)),
        _ if changes_server => (Role::Admin, None),
        _ => (Role::Infer, None),
    }
}

/// The key that a request shows, if any.
///
/// # Errors
/// `Unauthenticated` when it shows several, or one in a way that isn't known.
fn shown(headers: &HeaderMap) -> Result<Option<&[u8]>> {
    let refused = |message: &str| InferError::new(ErrorKind::Unauthenticated, message);
    let mut keys = headers.get_all(API_KEY).iter().map(|key| Some(key.as_bytes())).collect::<Vec<_>>();
    keys.extend(headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes())));
    match keys[..] {
        [] => Ok(None),
        [None] => Err(refused("Authorization must be Bearer and a key")),
        [key] => Ok(key),
        _ => Err(refused("one key is shown at a time, by Authorization or by X-API-Key")),
    }
}

/// What follows the scheme's name, which may be in capitals or not.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

/// In the words of the face that was asked.
fn refusal(request: &Request, error: InferError) -> Response {
    if is_grpc(request.headers()) {
        return grpc::failed(error);
    }
    let unknown = error.kind == ErrorKind::Unauthenticated;
    let spoken = request.uri().path().split('/').nth(1);
    let mut response = if spoken == Some("v2") { v2::failed(error) } else { error.into_response() };
    if unknown {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
