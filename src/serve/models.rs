//! `/v1/models`: what is served, and, where the operator allows it, loading and unloading.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::model::{Model, Placement};
use crate::oip::{IndexEntry, ModelState};

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
struct ServedModel {
    task: Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    labels: usize,
    input_size: [u32; 2],
    /// What runs it, with how many nodes each provider was given and which couldn't start.
    #[serde(flatten)]
    placement: Placement,
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
            placement: model.placement.clone(),
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
    let entry = |entry: IndexEntry| {
        let IndexEntry { name, version, state, reason } = entry;
        let served = catalog.get(&name, Some(&version)).ok().map(|model| ServedModel::from(model.as_ref()));
        ModelEntry { name, version, state, reason, served }
    };
    ModelList { models: state.engine.index(false).into_iter().filter(|one| wanted(&one.name)).map(entry).collect() }
}

/// `PUT /v1/models/{name}`: loads a version, or all of them, from disk in place of what is served; answers when that is done.
pub(super) async fn load(
    State(state): State<AppState>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Json<ModelList>> {
    state.engine.load_model(&name, version(parameters)?.as_deref()).await?;
    Ok(Json(listed(&state, |listed| listed == name)))
}

/// `DELETE /v1/models/{name}`: takes a version, or all of them, out of service; requests that have it are answered still.
pub(super) async fn unload(
    State(state): State<AppState>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode> {
    state.engine.unload_model(&name, version(parameters)?.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn version(parameters: Parameters) -> Result<Option<String>> {
    let unreadable = |rejection: QueryRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    parameters.map(|Query(parameters)| parameters.version).map_err(unreadable)
}
