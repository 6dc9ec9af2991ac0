//! `POST /v2/models/{model}[/versions/{version}]/infer`.

use std::collections::HashMap;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::super::incoming;
use super::super::layers::ServedModel;
use super::super::state::AppState;
use super::answer::{Failed, answer};
use super::body::{Division, Parsed, division, parse};
use crate::error::{ErrorKind, InferError, Result};
use crate::oip::{DataType, Tensor, TensorRequest};

/// `model`, and `version` where it is named.
pub(super) type Names = Path<HashMap<String, String>>;

pub(super) async fn infer(
    State(state): State<AppState>,
    Path(names): Names,
    request: Request,
) -> std::result::Result<Response, Failed> {
    let (model, version) = (names["model"].clone(), names.get("version").cloned());
    let division = division(request.headers())?;
    let (mut terms, body) = incoming::read_all(request, &state).await?;
    let parsed = match division {
        Division::Json => parse(body, None)?,
        Division::Binary(length) => parse(body, Some(length))?,
        Division::Raw => raw(&state, &model, version.as_deref(), body)?,
    };
    incoming::hurry(&state.engine, &mut terms, parsed.priority, parsed.timeout_us);
    let Parsed { id, inputs, outputs, in_binary, all_in_binary, .. } = parsed;
    let response = state.engine.infer_tensors(TensorRequest { model, version, id, inputs, outputs, terms }).await?;
    let wanted = |name: &str| in_binary.iter().find(|(output, _)| output == name).map_or(all_in_binary, |one| one.1);
    let served = ServedModel(response.model.clone());
    Ok((axum::Extension(served), answer(&response, wanted)?).into_response())
}

/// A body without JSON: the one input as a batch of one, prepared, or else a picture's file.
fn raw(state: &AppState, model: &str, version: Option<&str>, body: Bytes) -> Result<Parsed> {
    let catalog = state.engine.models.catalog();
    let directory = &catalog.get(model, version)?.directory;
    if body.is_empty() {
        return Err(InferError::new(ErrorKind::EmptyBody, "the body is empty; send the input's bytes"));
    }
    let name = &directory.manifest.preprocess.input;
    let shape = directory.batch_shape(1).map(|length| length as i64);
    let input = if body.len() == directory.preprocessor.tensor_len() * 4 {
        Tensor::from_binary(name, DataType::Fp32, &shape, body)?
    } else {
        Tensor::from_elements(name, &[1], vec![body])?
    };
    Ok(Parsed { inputs: vec![input], ..Parsed::default() })
}
