//! `/v1/models`: what is served, and, where the operator allows it, loading and unloading.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::openapi::problems::{Loading, Nothing, Problems, Unloading};
use super::openapi::tags::MODELS;
use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::model::{Model, Placement};
use crate::oip::{IndexEntry, ModelState};

/// What is served, and what was to be.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelList {
    /// Every version of every model.
    models: Vec<ModelEntry>,
}

/// A version of a model, as far as a caller needs to know it.
#[derive(Serialize, ToSchema)]
struct ModelEntry {
    /// The model's name.
    name: String,
    /// The version.
    version: String,
    /// Whether it answers.
    state: ModelState,
    /// Why it isn't ready; or why what its directory holds now isn't served, while something older is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    #[serde(flatten)]
    #[schema(inline)]
    served: Option<ServedModel>,
}

/// More, of a model that is loaded.
#[derive(Serialize, ToSchema)]
struct ServedModel {
    /// What it answers.
    task: Task,
    /// What its maker says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// Its licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    license: Option<String>,
    /// How many labels it knows.
    labels: usize,
    /// Height and width that its network takes.
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
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeParameters {
    /// A version; all of them when absent.
    #[param(nullable = false)]
    version: Option<String>,
}

type Name = std::result::Result<Path<String>, PathRejection>;
type Parameters = std::result::Result<Query<ChangeParameters>, QueryRejection>;

/// What is served
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = MODELS,
    responses((status = 200, body = ModelList, description = "Every version, with its state."), Problems<Nothing>)
)]
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

/// Load a model
///
/// Loads a version, or all of them, from disk in place of what is served; answers when that is done.
#[utoipa::path(
    put,
    path = "/v1/models/{name}",
    tag = MODELS,
    params(ChangeParameters),
    responses((status = 200, body = ModelList, description = "The model's versions."), Problems<Loading>)
)]
pub(super) async fn load(State(state): State<AppState>, name: Name, parameters: Parameters) -> Result<Json<ModelList>> {
    let name = readable(name)?;
    state.engine.load_model(&name, version(parameters)?.as_deref()).await?;
    Ok(Json(listed(&state, |listed| listed == name)))
}

/// Unload a model
///
/// Takes a version, or all of them, out of service; requests that have it are answered still.
#[utoipa::path(
    delete,
    path = "/v1/models/{name}",
    tag = MODELS,
    params(ChangeParameters),
    responses((status = 204, description = "It is out of service."), Problems<Unloading>)
)]
pub(super) async fn unload(State(state): State<AppState>, name: Name, parameters: Parameters) -> Result<StatusCode> {
    let name = readable(name)?;
    state.engine.unload_model(&name, version(parameters)?.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn readable(name: Name) -> Result<String> {
    let unreadable = |rejection: PathRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    name.map(|Path(name)| name).map_err(unreadable)
}

fn version(parameters: Parameters) -> Result<Option<String>> {
    let unreadable = |rejection: QueryRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    parameters.map(|Query(parameters)| parameters.version).map_err(unreadable)
}
