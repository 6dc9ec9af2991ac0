//! From a request's tensors to the network and back.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;
use ndarray::{ArrayD, Axis, stack};

use super::classification::classify;
use super::{DataType, RequestedOutput, Tensor, TensorData, TensorRequest, TensorResponse};
use crate::batch::BatchAxis;
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::{Engine, picture_span};
use crate::model::Model;
use crate::request::{Terms, Timings};
use crate::stages::{Seen, run_network};

/// One picture of a batch: its file, or its tensor as the caller has prepared it.
enum Item {
    File(Bytes),
    Prepared(ArrayD<f32>),
}

impl Engine {
    /// Answers a request in tensors, for a model of any task.
    ///
    /// # Errors
    /// What is wrong with the request, or with any picture of its batch.
    pub async fn infer_tensors(&self, request: TensorRequest) -> Result<TensorResponse> {
        let model = Arc::clone(self.models.catalog().get(&request.model, request.version.as_deref())?);
        request.terms.asked.tell(&model);
        let outcome = self.ask_tensors(&model, request).await;
        outcome.inspect_err(|error| self.reject(Some(&model), error))
    }

    async fn ask_tensors(&self, model: &Arc<Model>, request: TensorRequest) -> Result<TensorResponse> {
        model.health.check()?;
        let wanted = check_outputs(model, &request.outputs)?;
        let items = items(model, &request.inputs)?;
        let outputs = gather(model, self.infer_items(model, items, &request.terms).await?)?;
        let outputs = wanted.iter().map(|(position, output)| tell(model, *position, &outputs[*position], output));
        Ok(TensorResponse {
            outputs: outputs.collect::<Result<_>>()?,
            model: model.directory.name.clone(),
            version: model.directory.version.to_string(),
            id: request.id,
        })
    }

    /// Every picture's outputs, or the first failure.
    async fn infer_items(&self, model: &Arc<Model>, items: Vec<Item>, terms: &Terms) -> Result<Vec<Vec<ArrayD<f32>>>> {
        let (started, pictures) = (Instant::now(), items.len());
        let _permits = self.admit(model, pictures, terms.priority)?;
        let seen = items.into_iter().map(|item| self.infer_item(model, item, terms));
        let seen = terms.deadline.bound(try_join_all(seen)).await;
        // they went side by side: the longest tells how long each stage took
        let timings = seen.as_ref().map(|seen| {
            let longest = seen.iter().fold(Timings::default(), |longest, (_, timings)| longest.max(timings));
            Timings { total: started.elapsed(), ..longest }
        });
        model.statistics.record(pictures, timings.as_ref().map_err(|error| *error));
        Ok(seen?.into_iter().map(|(outputs, _)| outputs).collect())
    }

    async fn infer_item(&self, model: &Arc<Model>, item: Item, terms: &Terms) -> Result<(Vec<ArrayD<f32>>, Timings)> {
        let started = Instant::now();
        let mut span = picture_span(model, &terms.trace);
        let seen = match item {
            Item::Prepared(tensor) => run_network(model, tensor, terms.priority, span.trace()).await,
            Item::File(file) => {
                let seen = self.stages.look(model, file, terms.priority, false, span.trace()).await;
                seen.map(|Seen { outputs, timings, .. }| (outputs, timings))
            }
        };
        let seen = seen.map(|(outputs, timings)| (outputs, Timings { total: started.elapsed(), ..timings }));
        span.tell(seen.as_ref().map(drop));
        self.record(model, seen.as_ref().map(|(_, timings)| timings));
        seen
    }
}

/// The outputs that are wanted, with their positions.
fn check_outputs(model: &Model, outputs: &[RequestedOutput]) -> Result<Vec<(usize, RequestedOutput)>> {
    let known = &model.signature.outputs;
    if outputs.is_empty() {
        let all = known.iter().map(|info| RequestedOutput { name: info.name.clone(), classification: None });
        return Ok(all.enumerate().collect());
    }
    let position = |output: &RequestedOutput| {
        let found = known.iter().position(|info| info.name == output.name);
        let position = found.ok_or_else(|| {
            let names = known.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
            invalid(format!("the model has no output {:?}; its outputs are: {names}", output.name))
        })?;
        Ok((position, output.clone()))
    };
    outputs.iter().map(position).collect()
}

/// The pictures of the batch in the network's one input.
fn items(model: &Model, inputs: &[Tensor]) -> Result<Vec<Item>> {
    let name = &model.directory.manifest.preprocess.input;
    let input = match inputs {
        [input] if input.name == *name => input,
        [other] => return Err(invalid(format!("the model has no input {:?}; its input is {name:?}", other.name))),
        _ => return Err(invalid(format!("the model takes one input, {name:?}; {} are given", inputs.len()))),
    };
    let items = match &input.data {
        TensorData::Elements(files) => files_of(input, files)?,
        TensorData::Raw(_) => prepared(model, input)?,
    };
    match (items.len(), model.directory.batch_axis()) {
        (0, _) => Err(invalid(format!("input {name:?} holds no picture"))),
        (2.., BatchAxis::None) => Err(invalid("the model takes one picture at a time".into())),
        _ => Ok(items),
    }
}

fn files_of(input: &Tensor, files: &[Bytes]) -> Result<Vec<Item>> {
    if matches!(input.shape.as_slice(), [_] | [_, 1]) {
        return Ok(files.iter().cloned().map(Item::File).collect());
    }
    Err(invalid(format!("pictures come in a BYTES tensor of shape [N] or [N, 1], not {:?}", input.shape)))
}

fn prepared(model: &Model, input: &Tensor) -> Result<Vec<Item>> {
    let numbers = input.to_f32()?;
    let expected = model.directory.preprocessor.shape();
    let fits = input.shape.split_first().is_some_and(|(_, rest)| rest == expected.as_slice());
    if !fits {
        let [first, second, third] = expected;
        let message = format!(
            "input {:?} has shape {:?}, [N, {first}, {second}, {third}] is expected, or pictures' files as BYTES [N]",
            input.name, input.shape
        );
        return Err(invalid(message));
    }
    let batch = ArrayD::from_shape_vec(input.shape.as_slice(), numbers)
        .map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
    Ok(batch.axis_iter(Axis(0)).map(|picture| Item::Prepared(picture.to_owned())).collect())
}

/// Puts the pictures' outputs together again, one array for each output of the network.
fn gather(model: &Model, mut pictures: Vec<Vec<ArrayD<f32>>>) -> Result<Vec<ArrayD<f32>>> {
    if model.directory.batch_axis() == BatchAxis::None {
        return Ok(pictures.pop().unwrap_or_default());
    }
    let together = |position: usize| {
        let views: Vec<_> = pictures.iter().map(|outputs| outputs[position].view()).collect();
        stack(Axis(0), &views).map_err(|_| {
            let name = &model.signature.outputs[position].name;
            let message = format!("the model's output {name} has another shape for each picture; send one at a time");
            InferError::new(ErrorKind::InferenceFailed, message)
        })
    };
    (0..model.signature.outputs.len()).map(together).collect()
}

fn tell(model: &Model, position: usize, array: &ArrayD<f32>, wanted: &RequestedOutput) -> Result<Tensor> {
    let info = &model.signature.outputs[position];
    let tensor = Tensor::from_array(&info.name, DataType::of_network(&info.data_type), array);
    match wanted.classification {
        None => Ok(tensor),
        Some(count) => {
            let numbers: Vec<f32> = array.iter().copied().collect();
            Ok(classify(&tensor, &numbers, count.max(1), &model.directory.labels))
        }
    }
}

fn invalid(message: String) -> InferError {
    InferError::new(ErrorKind::InvalidParameter, message)
}
