//! What `/v2` tells of the server and its models, and the repository's calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::state::AppState;
use super::answer::Failed;
use super::names::Names;
use crate::error::{ErrorKind, InferError};
use crate::model::Count;
use crate::oip::{
    ModelMetadata, ModelState, ModelStatistics, PLATFORM, ServerMetadata, TensorMetadata, refuse_parameters,
};

type Told = Result<Json<Value>, Failed>;

/// `GET /v2`
pub(super) async fn server() -> Json<Value> {
    let ServerMetadata { name, version, extensions } = ServerMetadata::new();
    Json(json!({ "name": name, "version": version, "extensions": extensions }))
}

/// `GET /v2/health/live`. The protocol's text says `live`, KServe's own pages say otherwise: both are there.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true, "ready": true }))
}

/// `GET /v2/health/ready`
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    readiness(state.engine.check_ready())
}

/// `GET /v2/models/{model}/ready`
pub(super) async fn model_ready(State(state): State<AppState>, names: Names) -> Response {
    readiness(state.engine.check_model_ready(&names.model, names.version.as_deref()))
}

fn readiness(outcome: crate::error::Result<()>) -> Response {
    match outcome {
        Ok(()) => Json(json!({ "live": true, "ready": true })).into_response(),
        Err(error) if error.kind == ErrorKind::Unavailable => {
            let body = json!({ "live": true, "ready": false, "error": error.message, "code": error.kind.code() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
        Err(error) => Failed::from(error).into_response(),
    }
}

fn metadata(state: &AppState, names: &Names) -> Result<ModelMetadata, Failed> {
    Ok(state.engine.model_metadata(&names.model, names.version.as_deref())?)
}

/// `GET /v2/models/{model}`
pub(super) async fn model(State(state): State<AppState>, names: Names) -> Told {
    let model = metadata(&state, &names)?;
    let tensors = |tensors: &[TensorMetadata]| {
        let one = |tensor: &TensorMetadata| json!({ "name": tensor.name, "datatype": tensor.data_type.name(), "shape": tensor.shape });
        tensors.iter().map(one).collect::<Vec<_>>()
    };
    Ok(Json(json!({
        "name": model.name,
        "versions": model.versions,
        "platform": PLATFORM,
        "inputs": tensors(&model.inputs),
        "outputs": tensors(&model.outputs),
    })))
}

/// `GET /v2/models/{model}/config`: as Triton words it.
pub(super) async fn model_config(State(state): State<AppState>, names: Names) -> Told {
    let model = metadata(&state, &names)?;
    let tensors = |tensors: &[TensorMetadata]| {
        let one = |tensor: &TensorMetadata| {
            let data_type = format!("TYPE_{}", tensor.data_type.name());
            json!({ "name": tensor.name, "data_type": data_type, "dims": tensor.shape.get(1..).unwrap_or_default() })
        };
        tensors.iter().map(one).collect::<Vec<_>>()
    };
    let kind = if model.gpu.is_some() { "KIND_GPU" } else { "KIND_CPU" };
    let gpus: Vec<_> = model.gpu.into_iter().collect();
    Ok(Json(json!({
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "default_model_filename": model.file_name,
        "max_batch_size": model.max_batch_size,
        "input": tensors(&model.inputs),
        "output": tensors(&model.outputs),
        "dynamic_batching": { "max_queue_delay_microseconds": model.queue_delay_us },
        "instance_group": [{ "name": model.name, "kind": kind, "gpus": gpus, "count": model.instances }],
    })))
}

/// `GET /v2/models/stats`
pub(super) async fn all_statistics(State(state): State<AppState>) -> Told {
    Ok(statistics(&state.engine.model_statistics(None, None)?))
}

/// `GET /v2/models/{model}/stats`
pub(super) async fn model_statistics(State(state): State<AppState>, names: Names) -> Told {
    Ok(statistics(&state.engine.model_statistics(Some(&names.model), names.version.as_deref())?))
}

fn statistics(models: &[ModelStatistics]) -> Json<Value> {
    Json(json!({ "model_stats": models.iter().map(one_statistics).collect::<Vec<_>>() }))
}

fn one_statistics(model: &ModelStatistics) -> Value {
    let counts = &model.counts;
    let count = |count: Count| json!({ "count": count.count, "ns": count.time.as_nanos() as u64 });
    let none = Count::default();
    json!({
        "name": model.name,
        "version": model.version,
        "last_inference": counts.last_inference.map_or(0, milliseconds_since_1970),
        "inference_count": counts.inferences,
        "execution_count": model.executions,
        "inference_stats": {
            "success": count(counts.success),
            "fail": count(counts.fail),
            "queue": count(counts.queue),
            "compute_input": count(counts.compute_input),
            "compute_infer": count(counts.compute_infer),
            "compute_output": count(counts.compute_output),
            "cache_hit": count(none),
            "cache_miss": count(none),
        },
        "batch_stats": [],
    })
}

fn milliseconds_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

#[derive(Deserialize, Default)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

/// `POST /v2/repository/index`; the body may be empty.
pub(super) async fn index(State(state): State<AppState>, body: Bytes) -> Told {
    let request: IndexRequest = read_or_default(&body)?;
    let entries = state.engine.index(request.ready).into_iter().map(|entry| {
        let state = if entry.state == ModelState::Ready { "READY" } else { "UNAVAILABLE" };
        json!({ "name": entry.name, "version": entry.version, "state": state, "reason": entry.reason.unwrap_or_default() })
    });
    Ok(Json(entries.collect()))
}

#[derive(Deserialize, Default)]
struct ChangeRequest {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// `POST /v2/repository/models/{model}/load`: every version that the repository holds.
pub(super) async fn load(State(state): State<AppState>, names: Names, body: Bytes) -> Told {
    let request: ChangeRequest = read_or_default(&body)?;
    refuse_parameters(request.parameters.keys())?;
    state.engine.load_model(&names.model, None).await?;
    Ok(Json(json!({})))
}

/// `POST /v2/repository/models/{model}/unload`: every version. No model depends on another, so nothing is said of dependents.
pub(super) async fn unload(State(state): State<AppState>, names: Names) -> Told {
    state.engine.unload_model(&names.model, None).await?;
    Ok(Json(json!({})))
}

fn read_or_default<T: for<'a> Deserialize<'a> + Default>(body: &[u8]) -> Result<T, Failed> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not the JSON expected: {error}");
        InferError::new(ErrorKind::InvalidRequest, message).into()
    })
}
