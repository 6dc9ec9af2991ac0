//! `/v1/log`: what the log lets through, and, where the operator allows changes by calls, another filter for it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::state::AppState;
use crate::error::{ErrorKind, InferError, Result};
use crate::telemetry::LogControl;

#[derive(Serialize)]
pub(super) struct LogFilter {
    filter: String,
}

/// What the URL of a change says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeParameters {
    filter: String,
}

/// `GET /v1/log`
pub(super) async fn show(State(state): State<AppState>) -> Result<Json<LogFilter>> {
    Ok(Json(LogFilter { filter: log(&state)?.filter()? }))
}

/// `PUT /v1/log?filter=...`
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
