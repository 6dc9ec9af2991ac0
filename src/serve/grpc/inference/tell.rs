//! What is told of the server, its models and its repository, as the protocol's messages have it.

use std::time::{Duration, UNIX_EPOCH};

use super::super::proto::inference as wire;
use super::super::proto::inference::model_config::SchedulingChoice;
use super::super::proto::inference::model_instance_group::Kind;
use super::super::proto::inference::model_metadata_response;
use super::super::proto::inference::repository_index_response::ModelIndex;
use crate::model::Count;
use crate::oip::{
    DataType, IndexEntry, ModelMetadata, ModelState, ModelStatistics, PLATFORM, ServerMetadata, TensorMetadata,
};

impl From<ServerMetadata> for wire::ServerMetadataResponse {
    fn from(server: ServerMetadata) -> Self {
        Self {
            name: server.name.into(),
            version: server.version.into(),
            extensions: server.extensions.into_iter().map(String::from).collect(),
        }
    }
}

impl From<TensorMetadata> for model_metadata_response::TensorMetadata {
    fn from(tensor: TensorMetadata) -> Self {
        Self { name: tensor.name, datatype: tensor.data_type.name().into(), shape: tensor.shape }
    }
}

impl From<ModelMetadata> for wire::ModelMetadataResponse {
    fn from(model: ModelMetadata) -> Self {
        Self {
            name: model.name,
            versions: model.versions,
            platform: PLATFORM.into(),
            inputs: model.inputs.into_iter().map(Into::into).collect(),
            outputs: model.outputs.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ModelMetadata> for wire::ModelConfig {
    fn from(model: ModelMetadata) -> Self {
        let batching = wire::ModelDynamicBatching { max_queue_delay_microseconds: model.queue_delay_us };
        let kind = if model.gpu.is_some() { Kind::Gpu } else { Kind::Cpu };
        let sessions = wire::ModelInstanceGroup {
            name: model.name.clone(),
            count: model.instances as i32,
            kind: kind.into(),
            gpus: model.gpu.map(i32::from).into_iter().collect(),
        };
        let input = |tensor: TensorMetadata| wire::ModelInput {
            data_type: data_type(tensor.data_type).into(),
            dims: without_batch(&tensor.shape),
            name: tensor.name,
        };
        let output = |tensor: TensorMetadata| wire::ModelOutput {
            data_type: data_type(tensor.data_type).into(),
            dims: without_batch(&tensor.shape),
            name: tensor.name,
        };
        Self {
            name: model.name,
            platform: PLATFORM.into(),
            backend: "onnxruntime".into(),
            max_batch_size: model.max_batch_size as i32,
            input: model.inputs.into_iter().map(input).collect(),
            output: model.outputs.into_iter().map(output).collect(),
            instance_group: vec![sessions],
            default_model_filename: model.file_name,
            scheduling_choice: Some(SchedulingChoice::DynamicBatching(batching)),
        }
    }
}

fn without_batch(shape: &[i64]) -> Vec<i64> {
    shape.get(1..).unwrap_or_default().to_vec()
}

/// The configuration calls `BYTES` a string, and the others as they are called elsewhere.
fn data_type(data_type: DataType) -> wire::DataType {
    let name = if data_type == DataType::Bytes { "STRING" } else { data_type.name() };
    wire::DataType::from_str_name(&format!("TYPE_{name}")).unwrap_or_default()
}

impl From<ModelStatistics> for wire::ModelStatistics {
    fn from(model: ModelStatistics) -> Self {
        let counts = &model.counts;
        let count =
            |count: Count| Some(wire::StatisticDuration { count: count.count, ns: count.time.as_nanos() as u64 });
        let last = counts.last_inference.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO));
        Self {
            last_inference: last.map_or(0, |time| time.as_millis() as u64),
            inference_count: counts.inferences,
            execution_count: model.executions,
            inference_stats: Some(wire::InferStatistics {
                success: count(counts.success),
                fail: count(counts.fail),
                queue: count(counts.queue),
                compute_input: count(counts.compute_input),
                compute_infer: count(counts.compute_infer),
                compute_output: count(counts.compute_output),
                cache_hit: count(Count::default()),
                cache_miss: count(Count::default()),
            }),
            name: model.name,
            version: model.version,
        }
    }
}

impl From<IndexEntry> for ModelIndex {
    fn from(entry: IndexEntry) -> Self {
        let state = if entry.state == ModelState::Ready { "READY" } else { "UNAVAILABLE" };
        let reason = entry.reason.unwrap_or_default();
        Self { name: entry.name, version: entry.version, state: state.into(), reason }
    }
}
