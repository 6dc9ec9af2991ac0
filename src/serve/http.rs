//! The HTTP face: which path is answered by what.

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::IntoResponse;
use prometheus::TEXT_FORMAT;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::problems::{Counting, Nothing, Problems, Readiness};
use super::openapi::tags::SERVER;
use super::state::AppState;
use super::{ask, docs, log, models, openapi, page, v2};
use crate::error::{ErrorKind, InferError, Result};

/// Every path of HTTP.
pub(super) fn routes(state: &AppState) -> Router {
    let (routes, document) = documented().split_for_parts();
    routes
        .merge(openapi::routes(document))
        .merge(docs::routes())
        .merge(page::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_not_found)
        .layer(DefaultBodyLimit::max(state.max_body_bytes))
        .with_state(state.clone())
}

/// The paths that are for programs, each with its description.
fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(ask::classify))
        .routes(routes!(ask::detect))
        .routes(routes!(healthy))
        .routes(routes!(ready))
        .routes(routes!(models::list))
        .routes(routes!(models::load, models::unload))
        .routes(routes!(log::show, log::change))
        .routes(routes!(render_metrics))
        .merge(v2::routes())
}

/// Whether the server lives
#[utoipa::path(get, path = "/healthz", tag = SERVER, responses((status = 200, body = String, description = "It does."), Problems<Nothing>))]
async fn healthy() -> &'static str {
    "ok"
}

/// Whether the server wants traffic
#[utoipa::path(get, path = "/readyz", tag = SERVER, responses((status = 200, body = String, description = "It does."), Problems<Readiness>))]
async fn ready(State(state): State<AppState>) -> Result<&'static str> {
    state.engine.check_ready().map(|()| "ready")
}

/// Metrics
#[utoipa::path(
    get,
    path = "/metrics",
    tag = SERVER,
    responses((status = 200, body = String, description = "In Prometheus's text format."), Problems<Counting>)
)]
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
