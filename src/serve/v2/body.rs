//! A request's body: JSON, or JSON with tensors' bytes behind it, or the bytes of the one input alone.

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::openapi::ASCII_PICTURE;
use super::answer::HEADER_LENGTH;
use super::flat::Flat;
use crate::error::{ErrorKind, InferError, Result};
use crate::oip::{DataType, RequestedOutput, Tensor};

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) id: String,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<RequestedOutput>,
    /// The outputs whose bytes are wanted behind the JSON; the others' depend on `all_in_binary`.
    pub(super) in_binary: Vec<(String, bool)>,
    pub(super) all_in_binary: bool,
    pub(super) priority: u64,
    pub(super) timeout_us: u64,
}

/// How a body is divided.
pub(super) enum Division {
    /// All of it is JSON.
    Json,
    /// So many bytes are, then tensors' bytes follow.
    Binary(usize),
    /// None of it is: it is the one input.
    Raw,
}

/// How the head says that the body is divided.
///
/// # Errors
/// `InvalidRequest` for a length that is no number.
pub(super) fn division(headers: &HeaderMap) -> Result<Division> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(Division::Json) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
    match length {
        Some(0) => Ok(Division::Raw),
        Some(length) => Ok(Division::Binary(length)),
        None => Err(invalid(format!("{HEADER_LENGTH} must be a whole number of bytes"))),
    }
}

/// Tensors for one model.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferRequest, example = json!({
    "inputs": [{ "name": "input", "shape": [1], "datatype": "BYTES", "data": [ASCII_PICTURE] }]
}))]
pub(super) struct Request {
    /// The caller's own name for the request, given back in its answer.
    #[serde(default)]
    id: String,
    /// What the model is given: its one input.
    inputs: Vec<Input>,
    /// What is wanted of its outputs; all when empty.
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    parameters: Parameters,
}

/// How the request wants to be treated.
#[derive(Deserialize, Default, ToSchema)]
#[schema(as = InferParameters)]
struct Parameters {
    /// Whether outputs come as bytes behind the JSON, where they don't say so themselves.
    #[serde(default)]
    binary_data_output: bool,
    /// 1 is high, all else normal.
    #[serde(default)]
    #[schema(value_type = usize)]
    priority: u64,
    /// Microseconds that the request may take.
    #[serde(default)]
    #[schema(value_type = usize)]
    timeout: u64,
}

/// A tensor that a model is given.
#[derive(Deserialize, ToSchema)]
#[schema(as = InputTensor)]
struct Input {
    /// The model's input's name.
    name: String,
    /// The length of each axis: pictures first. A `BYTES` tensor has a picture's file in each element.
    shape: Vec<i64>,
    /// `FP32`, prepared by the caller, or `BYTES`, pictures' files.
    datatype: String,
    #[serde(default)]
    parameters: InputParameters,
    /// The elements, nested or flat, where they don't follow the JSON.
    #[schema(value_type = Option<Vec<Value>>)]
    data: Option<Flat>,
}

/// Where a tensor's elements are.
#[derive(Deserialize, Default, ToSchema)]
struct InputParameters {
    /// So many of the bytes behind the JSON.
    #[schema(value_type = Option<usize>)]
    binary_data_size: Option<u64>,
}

/// An output that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = WantedOutput)]
struct Output {
    /// Its name.
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

/// How an output is wanted.
#[derive(Deserialize, Default, ToSchema)]
struct OutputParameters {
    /// As bytes behind the JSON, or not.
    binary_data: Option<bool>,
    /// Instead of the numbers so many of the largest, as `value:index:label`.
    classification: Option<usize>,
}

/// Reads a body whose first `json_length` bytes are JSON; all of them when absent.
///
/// # Errors
/// `InvalidRequest` for what isn't the JSON expected, or lengths that don't fit; `InvalidParameter` for a tensor whose data don't fit it.
pub(super) fn parse(mut body: Bytes, json_length: Option<usize>) -> Result<Parsed> {
    let length = json_length.unwrap_or(body.len());
    if length > body.len() {
        return Err(invalid(format!("{HEADER_LENGTH} is {length}, the whole body has {} bytes", body.len())));
    }
    let json = body.split_to(length);
    let request: Request = serde_json::from_slice(&json)
        .map_err(|error| invalid(format!("the body is not the JSON expected: {error}")))?;
    let inputs = request.inputs.into_iter().map(|input| tensor(input, &mut body)).collect::<Result<_>>()?;
    if !body.is_empty() {
        return Err(invalid(format!("{} bytes follow the last tensor's", body.len())));
    }
    let in_binary = request
        .outputs
        .iter()
        .filter_map(|output| output.parameters.binary_data.map(|wanted| (output.name.clone(), wanted)));
    Ok(Parsed {
        id: request.id,
        inputs,
        in_binary: in_binary.collect(),
        all_in_binary: request.parameters.binary_data_output,
        priority: request.parameters.priority,
        timeout_us: request.parameters.timeout,
        outputs: request.outputs.into_iter().map(requested).collect(),
    })
}

fn requested(output: Output) -> RequestedOutput {
    RequestedOutput { name: output.name, classification: output.parameters.classification }
}

/// An input with its data: from the JSON, or the next bytes of `rest`.
fn tensor(input: Input, rest: &mut Bytes) -> Result<Tensor> {
    let data_type = DataType::parse(&input.datatype)?;
    match (input.parameters.binary_data_size, input.data) {
        (Some(size), None) => {
            let size = usize::try_from(size).ok().filter(|size| *size <= rest.len()).ok_or_else(|| {
                invalid(format!(
                    "input {:?} says {size} bytes of data, {} are left of the body",
                    input.name,
                    rest.len()
                ))
            })?;
            Tensor::from_binary(&input.name, data_type, &input.shape, rest.split_to(size))
        }
        (None, Some(flat)) => from_json(&input.name, data_type, &input.shape, flat),
        _ => Err(invalid(format!("input {:?} needs either data or binary_data_size", input.name))),
    }
}

fn from_json(name: &str, data_type: DataType, shape: &[i64], flat: Flat) -> Result<Tensor> {
    match data_type {
        DataType::Bytes if flat.numbers.is_empty() => Tensor::from_elements(name, shape, flat.texts),
        DataType::Fp32 if flat.texts.is_empty() => Tensor::from_f32(name, shape, &flat.numbers),
        DataType::Bytes | DataType::Fp32 => {
            let message = format!("the data of input {name:?} don't fit its datatype {}", data_type.name());
            Err(InferError::new(ErrorKind::InvalidParameter, message))
        }
        other => {
            let message =
                format!("input {name:?} is of {}; FP32 or, for pictures' files, BYTES is expected", other.name());
            Err(InferError::new(ErrorKind::InvalidParameter, message))
        }
    }
}

fn invalid(message: String) -> InferError {
    InferError::new(ErrorKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(json: &str, tail: &[u8]) -> Result<Parsed> {
        parse(Bytes::from([json.as_bytes(), tail].concat()), Some(json.len()))
    }

    #[test]
    fn bytes_behind_the_json_go_to_the_inputs_in_their_order() {
        let json = r#"{"id": "7", "inputs": [
            {"name": "a", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
            {"name": "b", "shape": [2], "datatype": "FP32", "data": [3, 4]},
            {"name": "c", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}]}"#;
        let request = parsed(json, b"\0\0\x80\x3f\x02\0\0\0hi").expect("it fits");
        assert_eq!(request.id, "7");
        assert_eq!(request.inputs[0].to_f32(), Ok(vec![1.0]));
        assert_eq!(request.inputs[1].to_f32(), Ok(vec![3.0, 4.0]));
        assert_eq!(request.inputs[2], Tensor::from_elements("c", &[1], vec![Bytes::from_static(b"hi")]).expect("one"));
    }

    #[test]
    fn bodies_that_lie_are_refused() {
        let input = |size: &str| {
            format!(
                r#"{{"inputs": [{{"name": "a", "shape": [1], "datatype": "FP32", "parameters": {{"binary_data_size": {size}}}}}]}}"#
            )
        };
        for (size, tail) in [("4", 3), ("4", 5), ("8", 8), ("18446744073709551615", 4), ("-1", 4), ("1e9", 4)] {
            assert!(parsed(&input(size), &vec![0; tail]).is_err(), "{size} with {tail}");
        }
        parsed(&input("4"), &[0; 4]).expect("the truth");
        let body = Bytes::from_static(b"{}");
        assert!(parse(body.clone(), Some(3)).is_err());
        assert!(parse(body, Some(usize::MAX)).is_err());
    }

    proptest! {
        #[test]
        fn no_body_is_a_panic(body in prop::collection::vec(any::<u8>(), 0..80), length in 0usize..90) {
            let _ = parse(Bytes::from(body), Some(length));
        }
    }
}
