//! What `/v2` tells of the server and its models.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::openapi::problems::{Failures, ModelReadiness, Nothing, Readiness as ServerReadiness, Telling};
use super::super::openapi::tags::PROTOCOL;
use super::super::state::AppState;
use super::answer::Failed;
use super::names::Names;
use super::told::{ConfigTold, ModelTold, Readiness, ServerTold, StatisticsTold};
use crate::error::ErrorKind;

type Told<T> = Result<Json<T>, Failed>;

/// The server
#[utoipa::path(
    get,
    path = "/v2",
    tag = PROTOCOL,
    responses((status = 200, body = ServerTold, description = "What it is and speaks."), Failures<Nothing>)
)]
pub(super) async fn server() -> Json<ServerTold> {
    Json(ServerTold::new())
}

/// Whether the server lives
#[utoipa::path(
    get,
    path = "/v2/health/live",
    tag = PROTOCOL,
    responses((status = 200, body = Readiness, description = "It does."), Failures<Nothing>)
)]
pub(super) async fn live() -> Json<Readiness> {
    Json(Readiness::READY)
}

/// Whether the server wants traffic
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    tag = PROTOCOL,
    responses((status = 200, body = Readiness, description = "It does."), Failures<ServerReadiness>)
)]
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    readiness(state.engine.check_ready())
}

/// Whether a model answers
#[utoipa::path(
    get,
    path = "/ready",
    tag = PROTOCOL,
    responses((status = 200, body = Readiness, description = "It does."), Failures<ModelReadiness>)
)]
pub(super) async fn model_ready(State(state): State<AppState>, names: Names) -> Response {
    readiness(state.engine.check_model_ready(&names.model, names.version.as_deref()))
}

/// What isn't ready says so in the words of what is, too.
fn readiness(outcome: crate::error::Result<()>) -> Response {
    match outcome {
        Ok(()) => Json(Readiness::READY).into_response(),
        Err(error) if error.kind == ErrorKind::Unavailable => {
            let body = json!({ "live": true, "ready": false, "error": error.message, "code": error.kind.code() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
        Err(error) => Failed::from(error).into_response(),
    }
}

/// A model
#[utoipa::path(
    get,
    path = "/",
    tag = PROTOCOL,
    responses((status = 200, body = ModelTold, description = "What it takes and gives."), Failures<Telling>)
)]
pub(super) async fn model(State(state): State<AppState>, names: Names) -> Told<ModelTold> {
    Ok(Json(state.engine.model_metadata(&names.model, names.version.as_deref())?.into()))
}

/// How a model is run
#[utoipa::path(
    get,
    path = "/config",
    tag = PROTOCOL,
    responses((status = 200, body = ConfigTold, description = "As Triton words it."), Failures<Telling>)
)]
pub(super) async fn model_config(State(state): State<AppState>, names: Names) -> Told<ConfigTold> {
    Ok(Json(state.engine.model_metadata(&names.model, names.version.as_deref())?.into()))
}

/// What all models have done
#[utoipa::path(
    get,
    path = "/v2/models/stats",
    tag = PROTOCOL,
    responses((status = 200, body = StatisticsTold, description = "Since they were loaded."), Failures<Nothing>)
)]
pub(super) async fn all_statistics(State(state): State<AppState>) -> Told<StatisticsTold> {
    Ok(Json(state.engine.model_statistics(None, None)?.into()))
}

/// What a model has done
#[utoipa::path(
    get,
    path = "/stats",
    tag = PROTOCOL,
    responses((status = 200, body = StatisticsTold, description = "Since it was loaded."), Failures<Telling>)
)]
pub(super) async fn model_statistics(State(state): State<AppState>, names: Names) -> Told<StatisticsTold> {
    Ok(Json(state.engine.model_statistics(Some(&names.model), names.version.as_deref())?.into()))
}
