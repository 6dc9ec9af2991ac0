//! What a model directory declares in `model.toml`: parsed and checked, pure data. docs/model-directory.md is its reference.

mod head;
mod preprocess;
mod runtime;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use head::{Activation, BoxesHead, FcosHead, FcosLevel, Head, MaskFrame, ScoresHead, YoloxHead};
pub use preprocess::{Align, AlphaPolicy, Color, ExifPolicy, Filter, Layout, Preprocess, Resize, SixteenBitPolicy};
pub use runtime::{
    ArenaGrowth, ConvAlgorithmSearch, CudaOptions, EngineBatches, Provider, ProviderOrder, Runtime, TensorrtOptions,
};

/// The version of the manifest's format that this server reads.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub schema_version: u32,
    /// What the model answers.
    pub task: Task,
    /// The ONNX file, in the same directory.
    #[serde(default = "default_model_file")]
    pub model: String,
    /// A text file in the same directory, one label a line, in the order of the outputs.
    pub labels: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Licence of the weights, an SPDX expression where there is one.
    #[serde(default)]
    pub license: Option<String>,
    /// Whether this model answers when a request names none of its task and several are served.
    #[serde(default)]
    pub default: bool,
    /// From picture to tensor.
    pub preprocess: Preprocess,
    /// From the network's outputs to the answer.
    pub head: Head,
    /// What a detector keeps, as far as a request doesn't say.
    #[serde(default)]
    pub detection: Detection,
    /// An input with its expected outputs, checked at load.
    #[serde(default)]
    pub golden: Option<Golden>,
    /// How pictures go to the network together.
    #[serde(default)]
    pub batching: Batching,
    /// How the sessions run.
    #[serde(default)]
    pub runtime: Runtime,
}

impl Manifest {
    /// Parses and checks the text of a `model.toml`.
    ///
    /// # Errors
    /// A sentence that names the key at fault, with its line where the parser knows it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(format!("schema_version is {}, this server reads {SCHEMA_VERSION}", self.schema_version));
        }
        let golden = self.golden.iter().flat_map(|golden| golden.image.iter().chain([&golden.tensors]));
        for file in golden.chain([&self.model, &self.labels]) {
            check_file_name(file)?;
        }
        if let Some(golden) = &self.golden
            && !(golden.tolerance.is_finite() && golden.tolerance > 0.0)
        {
            return Err("golden.tolerance must be above 0".into());
        }
        if self.head.task() != self.task {
            return Err(format!("task is {}, but a head of this kind is for {}", self.task, self.head.task()));
        }
        self.head.check()?;
        self.detection.check()?;
        self.batching.check()?;
        self.runtime.check()?;
        self.preprocess.check()
    }
}

/// A file of the model directory is named plainly: nothing of the manifest reaches outside of it.
fn check_file_name(name: &str) -> Result<(), String> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(()) } else { Err(format!("{name:?} must be the name of a file in the model's own directory")) }
}

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One score a label for the whole picture.
    Classify,
    /// Boxes with a label and a score each.
    Detect,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Classify => "classify",
            Self::Detect => "detect",
        })
    }
}

/// An input with its expected outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// A NumPy archive with one array for the input and one for each output, by the names of the graph.
    pub tensors: String,
    /// A picture in the same directory whose preprocessing gives the input.
    #[serde(default)]
    pub image: Option<String>,
    /// Largest difference allowed, as a share of the largest expected absolute value.
    #[serde(default = "default_tolerance")]
    pub tolerance: f32,
}

/// What a detector keeps, as far as a request doesn't say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// Boxes with at least this score.
    pub threshold: f32,
    /// Overlap (intersection over union) above which the lower score of a class goes.
    pub iou: f32,
    /// At most so many boxes.
    pub max_detections: usize,
}

impl Default for Detection {
    fn default() -> Self {
        Self { threshold: 0.3, iou: 0.5, max_detections: 100 }
    }
}

impl Detection {
    fn check(&self) -> Result<(), String> {
        let shares = 0.0..=1.0;
        if shares.contains(&self.threshold) && shares.contains(&self.iou) && self.max_detections > 0 {
            return Ok(());
        }
        Err("detection: threshold and iou must be from 0 to 1, max_detections at least 1".into())
    }
}

/// How pictures go to the network together; the server's defaults fill what is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Pictures in a batch at most; 0 lets the server choose.
    pub max_size: u16,
    /// Microseconds that a picture waits for others while the network is free.
    pub queue_delay_us: Option<u32>,
    /// Pictures of this model in flight at most; further ones are turned away.
    pub queue_length: Option<u16>,
}

impl Batching {
    fn check(&self) -> Result<(), String> {
        if self.queue_length == Some(0) { Err("batching.queue_length must be at least 1".into()) } else { Ok(()) }
    }
}

fn default_model_file() -> String {
    "model.onnx".into()
}

fn default_tolerance() -> f32 {
    1e-4
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        schema_version = 1
        task = "classify"
        labels = "labels.txt"
        [preprocess]
        input = "input"
        size = [224, 224]
        resize = { mode = "shorter_side", to = 256 }
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
        [head]
        kind = "scores"
        output = "logits"
        activation = "softmax"
        [golden]
        tensors = "golden.npz"
    "#;

    #[test]
    fn what_is_left_out_has_torchvisions_defaults() {
        let manifest = Manifest::parse(GOOD).expect("a good manifest");
        assert_eq!(manifest.model, "model.onnx");
        assert_eq!(manifest.preprocess.filter, Filter::Bilinear);
        assert_eq!(manifest.preprocess.rescale, 1.0 / 255.0);
        assert_eq!(manifest.runtime, Runtime::default());
        assert_eq!(manifest.batching, Batching::default());
        let open =
            Manifest::parse(&GOOD.replacen("[golden]", "[batching]\nmax_size = 0\n[golden]", 1)).expect("0 chooses");
        assert_eq!(open.batching, Batching::default());
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        let cases = [
            ("size = [224, 224]", "size = [0, 224]", "lengths"),
            ("size = [224, 224]", "size = [224, 9000]", "lengths"),
            ("to = 256", "to = 0", "lengths"),
            ("0.229", "0.0", "preprocess.std"),
            ("0.485", "nan", "mean"),
            ("[head]", "rescale = -1.0\n[head]", "rescale"),
            ("\"shorter_side\"", "\"longer_side\"", "longer_side"),
            ("labels.txt", "/etc/passwd", "own directory"),
            ("golden.npz", "..", "own directory"),
            ("[golden]", "[golden]\ntolerance = 0.0", "golden.tolerance"),
            ("softmax", "softmin", "softmin"),
            ("task = \"classify\"", "task = \"detect\"", "for classify"),
            ("\"scores\"", "\"yolo\"", "yolo"),
            ("[golden]", "[batching]\nqueue_length = 0\n[golden]", "queue_length"),
            ("[golden]", "[runtime]\nproviders = ['cpu', 'cuda']\n[golden]", "cpu last"),
            ("[golden]", "[detection]\niou = 1.5\n[golden]", "detection"),
            ("kind = \"scores\"", "kind = \"scores\"\nbias = 1", "bias"),
        ];
        for (from, to, expected) in cases {
            let message = Manifest::parse(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(message.contains(expected), "{to}: {message}");
        }
    }
}
