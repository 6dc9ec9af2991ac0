//! `/v1/log`: what the log lets through, and, where the operator allows changes by calls, another filter for it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::openapi::problems::{ChangingLog, Problems, Readiness};
use super::openapi::tags::SERVER;
use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::telemetry::LogControl;

/// What the log lets through.
#[derive(Serialize, ToSchema)]
pub(super) struct LogFilter {
    /// As `tracing` writes it: a level, or target=level pairs.
    filter: String,
}

/// What the URL of a change says.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeParameters {
    /// A level, or target=level pairs.
    #[param(example = "info,ort=warn")]
    filter: String,
}

/// What the log lets through
#[utoipa::path(
    get,
    path = "/v1/log",
    tag = SERVER,
    responses((status = 200, body = LogFilter, description = "The filter."), Problems<Readiness>)
)]
pub(super) async fn show(State(state): State<AppState>) -> Result<Json<LogFilter>> {
    Ok(Json(LogFilter { filter: log(&state)?.filter()? }))
}

/// Let the log have another filter
#[utoipa::path(
    put,
    path = "/v1/log",
    tag = SERVER,
    params(ChangeParameters),
    responses((status = 200, body = LogFilter, description = "The new filter."), Problems<ChangingLog>)
)]
pub(super) async fn change(
    State(state): State<AppState>,
    parameters: std::result::Result<Query<ChangeParameters>, QueryRejection>,
) -> Result<Json<LogFilter>> {
    // where there are keys, this took an admin's
    if state.engine.access.is_none() {
        state.engine.check_calls_allowed()?;
    }
    let unreadable = |rejection: QueryRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    let Query(ChangeParameters { filter }) = parameters.map_err(unreadable)?;
    log(&state)?.set_filter(&filter)?;
    show(State(state)).await
}

fn log(state: &AppState) -> Result<&LogControl> {
    let missing = || InferError::new(ErrorKind::Unavailable, "this server keeps no log of its own");
    state.engine.log.as_ref().ok_or_else(missing)
}
