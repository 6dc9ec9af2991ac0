//! The HTTP face: which path is answered by what.

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use prometheus::TEXT_FORMAT;

use super::ask::{classify, detect};
use super::state::AppState;
use super::{log, models, page, v2};
use crate::error::{ErrorKind, InferError, Result};

/// Every path of HTTP.
pub(super) fn routes(state: &AppState) -> Router {
    Router::new()
        .route("/classify", post(classify))
        .route("/detect", post(detect))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", put(models::load).delete(models::unload))
        .route("/v1/log", get(log::show).put(log::change))
        .route("/metrics", get(render_metrics))
        .merge(v2::routes())
        .merge(page::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_not_found)
        .layer(DefaultBodyLimit::max(state.max_body_bytes))
        .with_state(state.clone())
}

async fn ready(State(state): State<AppState>) -> Result<&'static str> {
    state.engine.check_ready().map(|()| "ready")
}

async fn render_metrics(State(state): State<AppState>) -> Result<impl IntoResponse> {
    if !state.engine.counts {
        return Err(InferError::new(
            ErrorKind::RouteNotFound,
            "nothing is counted here; the server runs with --metrics false",
        ));
    }
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], state.engine.gather().to_text()?))
}

pub(super) async fn route_not_found() -> InferError {
    InferError::new(ErrorKind::RouteNotFound, "nothing is served at this path; POST a picture to /classify or /detect")
}

async fn method_not_allowed() -> InferError {
    InferError::new(ErrorKind::MethodNotAllowed, "this path is not served with this method; see the header Allow")
}
