//! `POST /v2/models/{model}[/versions/{version}]/infer`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::super::incoming;
use super::super::openapi::File;
use super::super::openapi::parameters::{DivisionHeader, TermsHeaders};
use super::super::openapi::problems::{Failures, Inferring};
use super::super::openapi::tags::PROTOCOL;
use super::super::state::AppState;
use super::answer::{Body as AnswerBody, Failed, answer};
use super::body::{Division, Parsed, Request as InferBody, division, parse};
use super::names::Names;
use crate::error::{ErrorKind, InferError, Result};
use crate::oip::{DataType, Tensor, TensorRequest};

/// Tensors in, tensors out
///
/// JSON; or JSON with tensors' bytes behind it; or, with `Inference-Header-Content-Length: 0`, the bytes of the one input alone: a
/// picture's file, or its float32 values. The answer has its tensors' bytes behind its JSON where that is asked for.
#[utoipa::path(
    post,
    path = "/infer",
    tag = PROTOCOL,
    params(DivisionHeader, TermsHeaders),
    request_body(content((InferBody = "application/json"), (File = "application/octet-stream"))),
    responses(
        (status = 200, description = "The outputs.", content(
            (AnswerBody<'_> = "application/json"),
            (File = "application/octet-stream"),
        )),
        Failures<Inferring>,
    )
)]
pub(super) async fn infer(
    State(state): State<AppState>,
    Names { model, version }: Names,
    request: Request,
) -> std::result::Result<Response, Failed> {
    let division = division(request.headers())?;
    let (mut terms, body) = incoming::read_all(request, &state).await?;
    let parsed = match division {
        Division::Json => parse_aside(&state, body, None).await?,
        Division::Binary(length) => parse_aside(&state, body, Some(length)).await?,
        Division::Raw => raw(&state, &model, version.as_deref(), body)?,
    };
    incoming::hurry(&state.engine, &mut terms, parsed.priority, parsed.timeout_us);
    let Parsed { id, inputs, outputs, in_binary, all_in_binary, .. } = parsed;
    let response = state.engine.infer_tensors(TensorRequest { model, version, id, inputs, outputs, terms }).await?;
    let wanted = |name: &str| in_binary.iter().find(|(output, _)| output == name).map_or(all_in_binary, |one| one.1);
    Ok(answer(&response, wanted)?.into_response())
}

/// JSON up to this many bytes is read in less time than it takes to hand it on.
const SHORT_JSON_BYTES: usize = 1 << 14;

/// Reads a body; one with much JSON where it holds up nobody.
async fn parse_aside(state: &AppState, body: Bytes, json_length: Option<usize>) -> Result<Parsed> {
    if json_length.unwrap_or(body.len()) <= SHORT_JSON_BYTES {
        return parse(body, json_length);
    }
    state.engine.compute(move || parse(body, json_length)).await
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
