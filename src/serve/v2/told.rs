//! The JSON that `/v2` tells of the server and its models, as KServe and Triton word it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Count;
use crate::oip::{ModelMetadata, ModelStatistics, PLATFORM, ServerMetadata, TensorMetadata};

/// What the server says of itself.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerTold {
    /// Its name.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The parts of the protocol beyond its core that it speaks.
    extensions: Vec<&'static str>,
}

/// Whether something answers. The protocol's text says `live`, KServe's own pages say otherwise: both are there.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// It lives.
    live: bool,
    /// It wants requests.
    ready: bool,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelTold {
    /// Its name.
    name: String,
    /// Every version of it that is served.
    versions: Vec<String>,
    /// What runs it.
    platform: &'static str,
    /// What it takes. Under the same name it takes pictures' files as a `BYTES` tensor.
    inputs: Vec<TensorTold>,
    /// What it gives.
    outputs: Vec<TensorTold>,
}

/// A tensor that a model takes or gives.
#[derive(Serialize, ToSchema)]
struct TensorTold {
    /// Its name.
    name: String,
    /// Its elements' type.
    datatype: &'static str,
    /// The length of each axis, -1 where it may be any.
    shape: Vec<i64>,
}

/// How a model is run, as Triton words it.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigTold {
    name: String,
    platform: &'static str,
    backend: &'static str,
    default_model_filename: String,
    /// Pictures in a batch at most; 0 for a model without a batch axis.
    max_batch_size: usize,
    input: Vec<TensorConfig>,
    output: Vec<TensorConfig>,
    dynamic_batching: DynamicBatching,
    instance_group: [InstanceGroup; 1],
}

/// A tensor, as Triton words it.
#[derive(Serialize, ToSchema)]
struct TensorConfig {
    name: String,
    data_type: String,
    /// The length of each axis but the batch's.
    dims: Vec<i64>,
}

#[derive(Serialize, ToSchema)]
struct DynamicBatching {
    /// How long a picture waits for others while a session is free.
    max_queue_delay_microseconds: u64,
}

#[derive(Serialize, ToSchema)]
struct InstanceGroup {
    name: String,
    kind: &'static str,
    /// The GPU that they run on, if it is one.
    gpus: Vec<u16>,
    /// Sessions that run side by side.
    count: usize,
}

/// What models have done.
#[derive(Serialize, ToSchema)]
pub(super) struct StatisticsTold {
    /// Each version's.
    model_stats: Vec<VersionStatistics>,
}

/// What a version of a model has done.
#[derive(Serialize, ToSchema)]
struct VersionStatistics {
    name: String,
    version: String,
    /// Milliseconds since 1970; 0 before the first.
    last_inference: u64,
    /// Pictures.
    inference_count: u64,
    /// How often the network was run; less than the pictures where they went in batches.
    execution_count: u64,
    inference_stats: InferenceStatistics,
    batch_stats: [u64; 0],
}

/// Pictures, and the time that they took, by outcome and stage.
#[derive(Serialize, ToSchema)]
struct InferenceStatistics {
    success: CountTold,
    fail: CountTold,
    queue: CountTold,
    compute_input: CountTold,
    compute_infer: CountTold,
    compute_output: CountTold,
    cache_hit: CountTold,
    cache_miss: CountTold,
}

#[derive(Serialize, ToSchema)]
struct CountTold {
    count: u64,
    /// Nanoseconds in all.
    ns: u64,
}

impl ServerTold {
    pub(super) fn new() -> Self {
        let ServerMetadata { name, version, extensions } = ServerMetadata::new();
        Self { name, version, extensions }
    }
}

impl Readiness {
    pub(super) const READY: Self = Self { live: true, ready: true };
}

impl From<ModelMetadata> for ModelTold {
    fn from(model: ModelMetadata) -> Self {
        let tensors = |tensors: &[TensorMetadata]| tensors.iter().map(TensorTold::from).collect();
        Self {
            inputs: tensors(&model.inputs),
            outputs: tensors(&model.outputs),
            name: model.name,
            versions: model.versions,
            platform: PLATFORM,
        }
    }
}

impl From<&TensorMetadata> for TensorTold {
    fn from(tensor: &TensorMetadata) -> Self {
        Self { name: tensor.name.clone(), datatype: tensor.data_type.name(), shape: tensor.shape.clone() }
    }
}

impl From<ModelMetadata> for ConfigTold {
    fn from(model: ModelMetadata) -> Self {
        let tensors = |tensors: &[TensorMetadata]| tensors.iter().map(TensorConfig::from).collect();
        let group = InstanceGroup {
            name: model.name.clone(),
            kind: if model.gpu.is_some() { "KIND_GPU" } else { "KIND_CPU" },
            gpus: model.gpu.into_iter().collect(),
            count: model.instances,
        };
        Self {
            input: tensors(&model.inputs),
            output: tensors(&model.outputs),
            name: model.name,
            platform: PLATFORM,
            backend: "onnxruntime",
            default_model_filename: model.file_name,
            max_batch_size: model.max_batch_size,
            dynamic_batching: DynamicBatching { max_queue_delay_microseconds: model.queue_delay_us },
            instance_group: [group],
        }
    }
}

impl From<&TensorMetadata> for TensorConfig {
    fn from(tensor: &TensorMetadata) -> Self {
        let dims = tensor.shape.get(1..).unwrap_or_default().to_vec();
        Self { name: tensor.name.clone(), data_type: format!("TYPE_{}", tensor.data_type.name()), dims }
    }
}

impl From<Vec<ModelStatistics>> for StatisticsTold {
    fn from(models: Vec<ModelStatistics>) -> Self {
        Self { model_stats: models.into_iter().map(VersionStatistics::from).collect() }
    }
}

impl From<ModelStatistics> for VersionStatistics {
    fn from(model: ModelStatistics) -> Self {
        let counts = model.counts;
        Self {
            name: model.name,
            version: model.version,
            last_inference: counts.last_inference.map_or(0, milliseconds_since_1970),
            inference_count: counts.inferences,
            execution_count: model.executions,
            inference_stats: InferenceStatistics {
                success: counts.success.into(),
                fail: counts.fail.into(),
                queue: counts.queue.into(),
                compute_input: counts.compute_input.into(),
                compute_infer: counts.compute_infer.into(),
                compute_output: counts.compute_output.into(),
                cache_hit: Count::default().into(),
                cache_miss: Count::default().into(),
            },
            batch_stats: [],
        }
    }
}

impl From<Count> for CountTold {
    fn from(count: Count) -> Self {
        Self { count: count.count, ns: count.time.as_nanos() as u64 }
    }
}

fn milliseconds_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}
