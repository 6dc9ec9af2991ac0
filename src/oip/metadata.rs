//! What is told of the server and of a model.

use super::DataType;
use crate::backend::TensorInfo;
use crate::error::Result;
use crate::infer::Engine;
use crate::model::{Model, StatisticsSnapshot};

/// The protocol's name for what runs the models.
pub const PLATFORM: &str = "onnx_onnxv1";

/// The parts of the protocol beyond its core that the server speaks.
const EXTENSIONS: [&str; 6] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
];

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The parts of the protocol beyond its core that it speaks.
    pub extensions: Vec<&'static str>,
}

impl ServerMetadata {
    /// This server's.
    pub fn new() -> Self {
        Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS.to_vec() }
    }
}

impl Default for ServerMetadata {
    fn default() -> Self {
        Self::new()
    }
}

/// A tensor that a model takes or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// Its elements' type.
    pub data_type: DataType,
    /// The length of each axis, -1 where it may be any.
    pub shape: Vec<i64>,
}

/// What is told of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMetadata {
    /// Its name.
    pub name: String,
    /// Every version of it that is served.
    pub versions: Vec<String>,
    /// What it takes. Under the same name it takes pictures' files as a `BYTES` tensor.
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub outputs: Vec<TensorMetadata>,
    /// Pictures in a batch at most; 0 for a model without a batch axis.
    pub max_batch_size: usize,
    /// Microseconds that a picture waits for others while a session is free.
    pub queue_delay_us: u64,
    /// Sessions that run side by side.
    pub instances: usize,
    /// The GPU that runs it, where one does.
    pub gpu: Option<u16>,
    /// The ONNX file's name.
    pub file_name: String,
}

/// What a version of a model has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatistics {
    /// The model's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its counts.
    pub counts: StatisticsSnapshot,
    /// How often the network was run; less than the pictures where they went in batches.
    pub executions: u64,
}

impl Engine {
    /// Whether a model answers: `name`'s `version`, or its default version.
    ///
    /// # Errors
    /// `ModelNotFound`; `Unavailable` with the reason when it is out of service.
    pub fn check_model_ready(&self, name: &str, version: Option<&str>) -> Result<()> {
        self.models.catalog().get(name, version)?.health.check()
    }

    /// What is told of the model called `name`.
    ///
    /// # Errors
    /// `ModelNotFound`.
    pub fn model_metadata(&self, name: &str, version: Option<&str>) -> Result<ModelMetadata> {
        let catalog = self.models.catalog();
        let model = catalog.get(name, version)?;
        let versions = catalog.models().filter(|other| other.directory.name == name);
        Ok(ModelMetadata {
            name: name.to_owned(),
            versions: versions.map(|model| model.directory.version.to_string()).collect(),
            inputs: model.signature.inputs.iter().map(TensorMetadata::from).collect(),
            outputs: model.signature.outputs.iter().map(TensorMetadata::from).collect(),
            max_batch_size: model.batching.max_size,
            queue_delay_us: model.batching.max_delay.as_micros() as u64,
            instances: model.instances.count,
            gpu: model.gpu(),
            file_name: model.directory.manifest.model.clone(),
        })
    }

    /// What models have done: all, all versions of one, or one version.
    ///
    /// # Errors
    /// `ModelNotFound` when one is named that isn't served.
    pub fn model_statistics(&self, name: Option<&str>, version: Option<&str>) -> Result<Vec<ModelStatistics>> {
        let catalog = self.models.catalog();
        match (name, version) {
            (None, _) => Ok(catalog.models().map(|model| ModelStatistics::of(model)).collect()),
            (Some(name), Some(_)) => Ok(vec![ModelStatistics::of(catalog.get(name, version)?)]),
            (Some(name), None) => {
                catalog.get(name, None)?;
                let versions = catalog.models().filter(|model| model.directory.name == name);
                Ok(versions.map(|model| ModelStatistics::of(model)).collect())
            }
        }
    }
}

impl ModelStatistics {
    fn of(model: &Model) -> Self {
        Self {
            name: model.directory.name.clone(),
            version: model.directory.version.to_string(),
            counts: model.statistics.snapshot(),
            executions: model.batcher.executions(),
        }
    }
}

impl From<&TensorInfo> for TensorMetadata {
    fn from(info: &TensorInfo) -> Self {
        let data_type = DataType::of_network(&info.data_type);
        Self { name: info.name.clone(), data_type, shape: info.shape.clone() }
    }
}
