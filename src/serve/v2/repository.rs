//! The repository's calls of `/v2`.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::body::unreadable;
use super::super::openapi::problems::{Failures, Indexing, LoadingAsTold, Unloading};
use super::super::openapi::tags::PROTOCOL;
use super::super::state::AppState;
use super::answer::Failed;
use super::names::Names;
use crate::error::{ErrorKind, InferError};
use crate::oip::{IndexEntry, ModelState, refuse_parameters};

type Told<T> = Result<Json<T>, Failed>;
type Body = Result<Bytes, BytesRejection>;

/// What the index is to hold.
#[derive(Deserialize, Default, ToSchema)]
pub(super) struct IndexRequest {
    /// Only what answers.
    #[serde(default)]
    ready: bool,
}

/// A version that is served, or was to be.
#[derive(Serialize, ToSchema)]
pub(super) struct IndexTold {
    /// The model's name.
    name: String,
    /// The version.
    version: String,
    /// `READY` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it isn't ready, or empty.
    reason: String,
}

impl From<IndexEntry> for IndexTold {
    fn from(entry: IndexEntry) -> Self {
        let IndexEntry { name, version, state, reason } = entry;
        let state = if state == ModelState::Ready { "READY" } else { "UNAVAILABLE" };
        Self { name, version, state, reason: reason.unwrap_or_default() }
    }
}

/// What is served; the body may be empty
#[utoipa::path(
    post,
    path = "/v2/repository/index",
    tag = PROTOCOL,
    request_body = Option<IndexRequest>,
    responses((status = 200, body = Vec<IndexTold>, description = "Every version."), Failures<Indexing>)
)]
pub(super) async fn index(State(state): State<AppState>, body: Body) -> Told<Vec<IndexTold>> {
    let request: IndexRequest = read_or_default(body)?;
    Ok(Json(state.engine.index(request.ready).into_iter().map(IndexTold::from).collect()))
}

/// A call to load a model.
#[derive(Deserialize, Default, ToSchema)]
pub(super) struct LoadRequest {
    /// None is taken: a model is loaded as its directory says.
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// That it is done.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {}

/// Load a model: every version that the repository holds; the body may be empty
#[utoipa::path(
    post,
    path = "/v2/repository/models/{model}/load",
    tag = PROTOCOL,
    request_body = Option<LoadRequest>,
    responses((status = 200, body = Done, description = "It is loaded."), Failures<LoadingAsTold>)
)]
pub(super) async fn load(State(state): State<AppState>, names: Names, body: Body) -> Told<Done> {
    let request: LoadRequest = read_or_default(body)?;
    refuse_parameters(request.parameters.keys())?;
    state.engine.load_model(&names.model, None).await?;
    Ok(Json(Done {}))
}

/// Unload a model: every version
///
/// No model depends on another, so nothing is said of dependents.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{model}/unload",
    tag = PROTOCOL,
    responses((status = 200, body = Done, description = "It is out of service."), Failures<Unloading>)
)]
pub(super) async fn unload(State(state): State<AppState>, names: Names) -> Told<Done> {
    state.engine.unload_model(&names.model, None).await?;
    Ok(Json(Done {}))
}

fn read_or_default<T: for<'a> Deserialize<'a> + Default>(body: Body) -> Result<T, Failed> {
    let body = body.map_err(|rejection| unreadable(rejection.status(), "the body broke off"))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body is not the JSON expected: {error}");
        InferError::new(ErrorKind::InvalidRequest, message).into()
    })
}
