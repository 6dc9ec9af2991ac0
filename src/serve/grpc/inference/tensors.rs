//! Between the protocol's messages and its tensors.

use std::collections::HashMap;
use std::mem;

use bytes::Bytes;

use super::super::proto::inference::infer_parameter::ParameterChoice;
use super::super::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::super::proto::inference::model_infer_response::InferOutputTensor;
use super::super::proto::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use crate::error::{ErrorKind, InferError, Result};
use crate::oip::{DataType, RequestedOutput, Tensor, TensorRequest, TensorResponse};
use crate::request::Terms;

/// Says in a stream that no more answers follow to a request: each has one.
const FINAL: &str = "triton_final_response";

type Parameters = HashMap<String, InferParameter>;

/// What a request's own parameters say of its terms.
pub(super) struct Hurry {
    pub(super) priority: u64,
    pub(super) timeout_us: u64,
}

impl Hurry {
    /// # Errors
    /// `InvalidParameter` for what is no whole number.
    pub(super) fn of(parameters: &Parameters) -> Result<Self> {
        let number = |name| Ok(whole_number(parameters, name)?.unwrap_or(0));
        Ok(Self { priority: number("priority")?, timeout_us: number("timeout")? })
    }
}

fn whole_number(parameters: &Parameters, name: &str) -> Result<Option<u64>> {
    let Some(parameter) = parameters.get(name) else { return Ok(None) };
    let number = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(number)) => u64::try_from(number).ok(),
        Some(ParameterChoice::Uint64Param(number)) => Some(number),
        _ => None,
    };
    number.map(Some).ok_or_else(|| {
        let message = match parameter.parameter_choice {
            Some(ParameterChoice::Int64Param(number)) => format!("parameter {name:?} is {number}; it can't be below 0"),
            _ => format!("parameter {name:?} must be a whole number from 0 on"),
        };
        InferError::new(ErrorKind::InvalidParameter, message)
    })
}

/// The same for the engine.
///
/// # Errors
/// `InvalidRequest` for data in both places or in neither; `InvalidParameter` for a tensor whose data don't fit it.
pub(super) fn parse(request: ModelInferRequest, terms: Terms) -> Result<TensorRequest> {
    let inputs = match request.raw_input_contents.as_slice() {
        [] => request.inputs.into_iter().map(typed).collect::<Result<_>>()?,
        raw => raw_inputs(&request.inputs, raw)?,
    };
    Ok(TensorRequest {
        model: request.model_name,
        version: Some(request.model_version).filter(|version| !version.is_empty()),
        id: request.id,
        inputs,
        outputs: request.outputs.into_iter().map(wanted).collect::<Result<_>>()?,
        terms,
    })
}

fn raw_inputs(inputs: &[InferInputTensor], raw: &[Bytes]) -> Result<Vec<Tensor>> {
    let typed = |input: &InferInputTensor| {
        input.contents.as_ref().is_some_and(|contents| *contents != InferTensorContents::default())
    };
    if inputs.iter().any(typed) {
        return Err(invalid("the inputs' data come in raw_input_contents or in contents, not in both".into()));
    }
    if inputs.len() != raw.len() {
        let message = format!("raw_input_contents holds the data of {} inputs, there are {}", raw.len(), inputs.len());
        return Err(invalid(message));
    }
    let tensor = |(input, data): (&InferInputTensor, &Bytes)| {
        Tensor::from_binary(&input.name, DataType::parse(&input.datatype)?, &input.shape, data.clone())
    };
    inputs.iter().zip(raw).map(tensor).collect()
}

fn typed(input: InferInputTensor) -> Result<Tensor> {
    let InferInputTensor { name, datatype, shape, contents, .. } = input;
    let mut contents = contents.unwrap_or_default();
    let refused = |message: String| Err(InferError::new(ErrorKind::InvalidParameter, message));
    let tensor = match DataType::parse(&datatype)? {
        DataType::Fp32 => Tensor::from_f32(&name, &shape, &mem::take(&mut contents.fp32_contents))?,
        DataType::Bytes => Tensor::from_elements(&name, &shape, mem::take(&mut contents.bytes_contents))?,
        _ => {
            return refused(format!(
                "input {name:?} is of {datatype}; FP32 or, for pictures' files, BYTES is expected"
            ));
        }
    };
    if contents != InferTensorContents::default() {
        return refused(format!("the contents of input {name:?} don't fit its datatype {datatype}"));
    }
    Ok(tensor)
}

fn wanted(output: InferRequestedOutputTensor) -> Result<RequestedOutput> {
    let classification = whole_number(&output.parameters, "classification")?;
    let classification = classification.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(RequestedOutput { name: output.name, classification })
}

/// What the engine says; the data always raw, as Triton's clients read them.
pub(super) fn answer(response: TensorResponse) -> ModelInferResponse {
    let TensorResponse { model, version, id, outputs } = response;
    let described = outputs.iter().map(|output| InferOutputTensor {
        name: output.name.clone(),
        datatype: output.data_type.name().into(),
        shape: output.shape.iter().map(|length| *length as i64).collect(),
        ..InferOutputTensor::default()
    });
    ModelInferResponse {
        model_name: model,
        model_version: version,
        id,
        parameters: HashMap::new(),
        outputs: described.collect(),
        raw_output_contents: outputs.iter().map(Tensor::to_binary).collect(),
    }
}

/// The same in a stream, or what is wrong with the request called `id`.
pub(super) fn reply(id: String, outcome: Result<TensorResponse>) -> ModelStreamInferResponse {
    let (error_message, mut response) = match outcome {
        Ok(response) => (String::new(), answer(response)),
        Err(error) => (error.message, ModelInferResponse { id, ..ModelInferResponse::default() }),
    };
    let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    response.parameters.insert(FINAL.into(), last);
    ModelStreamInferResponse { error_message, infer_response: Some(response) }
}

fn invalid(message: String) -> InferError {
    InferError::new(ErrorKind::InvalidRequest, message)
}
