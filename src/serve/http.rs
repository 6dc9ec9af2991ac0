//! The HTTP face: which path is answered by what.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::TEXT_FORMAT;
use serde::Serialize;

use super::ask::{classify, detect};
use super::layers;
use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::model::Model;

/// The whole HTTP service. Bodies may have `max_body_bytes`.
pub fn app(state: AppState, max_body_bytes: usize) -> Router {
    let metrics = Arc::clone(&state.engine.metrics);
    let routes = Router::new()
        .route("/classify", post(classify))
        .route("/detect", post(detect))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/v1/models", get(models))
        .route("/metrics", get(render_metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_not_found)
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .with_state(state);
    layers::stack(routes, metrics)
}

async fn ready(State(state): State<AppState>) -> Result<&'static str> {
    if state.readiness.is_ready() {
        return Ok("ready");
    }
    Err(InferError::new(ErrorKind::Unavailable, "the server is shutting down"))
}

async fn render_metrics(State(state): State<AppState>) -> Result<impl IntoResponse> {
    let text = state.engine.metrics.render();
    let text =
        text.map_err(|error| InferError::new(ErrorKind::Internal, format!("the metrics can't be told: {error}")))?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text))
}

#[derive(Serialize)]
struct ModelList<'a> {
    models: Vec<ModelEntry<'a>>,
}

/// A served model, as far as a caller needs to know it.
#[derive(Serialize)]
struct ModelEntry<'a> {
    name: &'a str,
    version: String,
    task: Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<&'a str>,
    labels: usize,
    input_size: [u32; 2],
}

impl<'a> From<&'a Model> for ModelEntry<'a> {
    fn from(model: &'a Model) -> Self {
        let manifest = &model.directory.manifest;
        Self {
            name: &model.directory.name,
            version: model.directory.version.to_string(),
            task: manifest.task,
            description: manifest.description.as_deref(),
            license: manifest.license.as_deref(),
            labels: model.directory.labels.len(),
            input_size: manifest.preprocess.size,
        }
    }
}

async fn models(State(state): State<AppState>) -> impl IntoResponse {
    let models = state.engine.models.iter().map(|model| ModelEntry::from(model.as_ref())).collect();
    Json(ModelList { models }).into_response()
}

async fn route_not_found() -> InferError {
    InferError::new(ErrorKind::RouteNotFound, "nothing is served at this path; POST a picture to /classify or /detect")
}

async fn method_not_allowed() -> InferError {
    InferError::new(ErrorKind::MethodNotAllowed, "this path is not served with this method; see the header Allow")
}
