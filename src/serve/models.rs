//! `/v1/models`: what is served, and, where the operator allows it, loading and unloading.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::model::{Entry, Model, parse_version};

#[derive(Serialize)]
pub(super) struct ModelList {
    models: Vec<ModelEntry>,
}

/// A version of a model, as far as a caller needs to know it.
#[derive(Serialize)]
struct ModelEntry {
    name: String,
    version: String,
    state: ModelState,
    /// Why it isn't ready; or why what its directory holds now isn't served, while something older is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    served: Option<ServedModel>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ModelState {
    Ready,
    /// It was loaded, but doesn't answer right any more.
    Failing,
    /// It never was.
    Refused,
}

#[derive(Serialize)]
struct ServedModel {
    task: Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    labels: usize,
    input_size: [u32; 2],
}

impl ModelEntry {
    fn new(name: &str, version: u32, entry: &Entry) -> Self {
        let failing = entry.model.as_ref().and_then(|model| model.health.check().err());
        let state = match (&entry.model, &failing) {
            (Some(_), None) => ModelState::Ready,
            (Some(_), Some(_)) => ModelState::Failing,
            (None, _) => ModelState::Refused,
        };
        let reason = failing.map(|error| error.message).or_else(|| entry.refusal.clone());
        let served = entry.model.as_deref().map(ServedModel::from);
        Self { name: name.to_owned(), version: version.to_string(), state, reason, served }
    }
}

impl From<&Model> for ServedModel {
    fn from(model: &Model) -> Self {
        let manifest = &model.directory.manifest;
        Self {
            task: manifest.task,
            description: manifest.description.clone(),
            license: manifest.license.clone(),
            labels: model.directory.labels.len(),
            input_size: manifest.preprocess.size,
        }
    }
}

/// What the URL of a change says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeParameters {
    version: Option<String>,
}

type Parameters = std::result::Result<Query<ChangeParameters>, QueryRejection>;

/// `GET /v1/models`
pub(super) async fn list(State(state): State<AppState>) -> Json<ModelList> {
    Json(listed(&state, |_| true))
}

fn listed(state: &AppState, wanted: impl Fn(&str) -> bool) -> ModelList {
    let catalog = state.engine.models.catalog();
    let entries = catalog.entries().filter(|(name, _, _)| wanted(name));
    ModelList { models: entries.map(|(name, version, entry)| ModelEntry::new(name, version, entry)).collect() }
}

/// `PUT /v1/models/{name}`: loads a version, or all of them, from disk in place of what is served; answers when that is done.
pub(super) async fn load(
    State(state): State<AppState>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Json<ModelList>> {
    let version = permitted(&state, parameters)?;
    let (models, wanted) = (state.engine.models.clone(), name.clone());
    let loaded = tokio::task::spawn_blocking(move || models.load(&wanted, version)).await;
    let refused = |message: String| InferError::new(ErrorKind::ModelRefused, message);
    loaded.map_err(|error| refused(error.to_string()))?.map_err(|error| refused(error.to_string()))?;
    Ok(Json(listed(&state, |listed| listed == name)))
}

/// `DELETE /v1/models/{name}`: takes a version, or all of them, out of service; requests that have it are answered still.
pub(super) async fn unload(
    State(state): State<AppState>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode> {
    let version = permitted(&state, parameters)?;
    let (models, gone) = (state.engine.models.clone(), name.clone());
    // a load that is under way comes first
    let removed = tokio::task::spawn_blocking(move || models.unload(&gone, version)).await;
    if removed.unwrap_or(false) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(InferError::new(ErrorKind::ModelNotFound, format!("no such version of a model {name:?} is served")))
}

fn permitted(state: &AppState, parameters: Parameters) -> Result<Option<u32>> {
    if !state.model_calls {
        let message =
            "models are not loaded and unloaded by calls here; start the server with --model-control explicit";
        return Err(InferError::new(ErrorKind::Forbidden, message));
    }
    let unreadable = |rejection: QueryRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    let Query(parameters) = parameters.map_err(unreadable)?;
    parse_version(parameters.version.as_deref())
}
