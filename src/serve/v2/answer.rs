//! The protocol's answers: JSON, with tensors' bytes behind it where they are wanted so; an error is `{"error": ...}`.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::status::http_status;
use crate::error::{ErrorKind, InferError, Result};
use crate::oip::{DataType, Tensor, TensorData, TensorResponse};

/// How long the JSON of a body is, where tensors' bytes follow it.
pub(in crate::serve) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A failure as the protocol tells it.
#[derive(Debug)]
pub(super) struct Failed(InferError);

impl From<InferError> for Failed {
    fn from(error: InferError) -> Self {
        Self(error)
    }
}

/// A failure, as the Open Inference Protocol tells it.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct FailedBody {
    /// What happened and what to do about it.
    error: String,
    /// Stable, to match on.
    code: &'static str,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, code) = (http_status(self.0.kind), self.0.kind.code());
        // status and headers are those of every failure
        let mut response = self.0.clone().into_response();
        let body = axum::Json(FailedBody { error: self.0.message, code }).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body.into_body();
        *response.status_mut() = status;
        response
    }
}

/// What a model says, in tensors.
#[derive(Serialize, ToSchema)]
#[schema(as = InferAnswer)]
pub(super) struct Body<'a> {
    /// The model that answered.
    model_name: &'a str,
    /// Its version.
    model_version: &'a str,
    /// The request's.
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    /// The outputs, in the order that they were asked for.
    outputs: Vec<Output<'a>>,
}

/// An output of a model.
#[derive(Serialize, ToSchema)]
#[schema(as = OutputTensor)]
struct Output<'a> {
    /// Its name.
    name: &'a str,
    /// Its elements' type, by the protocol's name.
    datatype: &'static str,
    /// The length of each axis.
    shape: &'a [usize],
    /// Of one whose bytes follow the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameters: Option<BinaryData>,
    /// Its elements, else: flat, in row-major order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Value>>)]
    data: Option<Box<RawValue>>,
}

/// How many of the bytes behind the JSON are a tensor's.
#[derive(Serialize, ToSchema)]
struct BinaryData {
    /// So many.
    binary_data_size: usize,
}

/// The answer; `in_binary` tells of each output whether its bytes follow the JSON.
///
/// # Errors
/// `InferenceFailed` naming an output that holds what JSON can't say.
pub(super) fn answer(response: &TensorResponse, in_binary: impl Fn(&str) -> bool) -> Result<Response> {
    let mut tail = BytesMut::new();
    let outputs = response.outputs.iter().map(|tensor| {
        let (mut parameters, mut data) = (None, None);
        if in_binary(&tensor.name) {
            let bytes = tensor.to_binary();
            parameters = Some(BinaryData { binary_data_size: bytes.len() });
            tail.put(bytes);
        } else {
            data = Some(to_json(tensor)?);
        }
        let datatype = tensor.data_type.name();
        Ok(Output { name: &tensor.name, datatype, shape: &tensor.shape, parameters, data })
    });
    let outputs = outputs.collect::<Result<_>>()?;
    let body = Body { model_name: &response.model, model_version: &response.version, id: &response.id, outputs };
    let json = serde_json::to_vec(&body).map_err(|error| internal(&error))?;
    if tail.is_empty() {
        return Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HEADER_LENGTH, json.len().into()),
    ];
    Ok((headers, Bytes::from([json, tail.into()].concat())).into_response())
}

/// The elements as a flat JSON list.
fn to_json(tensor: &Tensor) -> Result<Box<RawValue>> {
    let list = match (&tensor.data, tensor.data_type) {
        (TensorData::Elements(elements), _) => {
            let texts: Vec<_> = elements.iter().map(|element| String::from_utf8_lossy(element)).collect();
            serde_json::value::to_raw_value(&texts)
        }
        (TensorData::Raw(data), DataType::Int64) => {
            let (numbers, _) = data.as_chunks::<8>();
            serde_json::value::to_raw_value(
                &numbers.iter().map(|number| i64::from_le_bytes(*number)).collect::<Vec<_>>(),
            )
        }
        (TensorData::Raw(_), _) => serde_json::value::to_raw_value(&finite(tensor)?),
    };
    list.map_err(|error| internal(&error))
}

fn finite(tensor: &Tensor) -> Result<Vec<f32>> {
    let numbers = tensor.to_f32()?;
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(numbers),
        Some(number) => {
            let message = format!("the model's output {} holds {number}, which JSON can't say", tensor.name);
            Err(InferError::new(ErrorKind::InferenceFailed, message))
        }
    }
}

fn internal(error: &serde_json::Error) -> InferError {
    InferError::new(ErrorKind::Internal, format!("the answer can't be written: {error}"))
}
