//! What surrounds every request, in one ordered stack.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::gate::admit;
use super::observe::observe;
use super::unread::watch_body;
use crate::error::{ErrorKind, InferError};
use crate::infer::Engine;

/// Wraps `routes`; a request goes through from bottom to top.
pub(super) fn stack(routes: Router, engine: Arc<Engine>) -> Router {
    routes
        // a defect in a handler is one request's 500
        .layer(CatchPanicLayer::custom(|_| {
            InferError::new(ErrorKind::Internal, "the server failed on this request; please report it").into_response()
        }))
        // before anything of the request but its head is looked at
        .layer(middleware::from_fn_with_state(Arc::clone(&engine), admit))
        // outside of whatever answers, so that it sees every answer
        .layer(middleware::from_fn_with_state(Arc::clone(&engine), observe))
        .layer(middleware::from_fn_with_state(engine, say_goodbye))
        // an answer is what its head says, whatever its bytes look like
        .layer(middleware::map_response(no_sniffing))
}

/// An answer says when it is the connection's last: because the request's body was left unread, or because the end has begun and the
/// next request should go elsewhere. HTTP/2 has its own words for that.
async fn say_goodbye(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let one_at_a_time = request.version() <= Version::HTTP_11;
    let (request, body_ended) = watch_body(request);
    let mut response = next.run(request).await;
    if one_at_a_time && (engine.shutdown.has_begun() || !body_ended.load(Ordering::Relaxed)) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
