//! What a model directory declares in `model.toml`: parsed and checked, pure data. docs/model-directory.md is its reference.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// From picture to tensor.
    pub preprocess: Preprocess,
    /// From the model's outputs to the answer.
    pub head: Head,
    /// An input with its expected outputs, checked at load.
    #[serde(default)]
    pub golden: Option<Golden>,
    /// How the session runs.
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
        self.preprocess.check()
    }
}

/// A file of the model directory is named plainly: nothing of the manifest reaches outside of it.
fn check_file_name(name: &str) -> Result<(), String> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(()) } else { Err(format!("{name:?} must be the name of a file in the model's own directory")) }
}

impl Preprocess {
    /// Longest side of a tensor, in pixels.
    const MAX_SIDE: u32 = 8192;

    fn check(&self) -> Result<(), String> {
        let shorter_side = match self.resize {
            Resize::ShorterSide { to } => Some(to),
            Resize::Stretch | Resize::Letterbox { .. } => None,
        };
        let mut lengths = self.size.iter().copied().chain(shorter_side);
        if !lengths.all(|length| (1..=Self::MAX_SIDE).contains(&length)) {
            return Err(format!("preprocess: lengths must be from 1 to {} pixels", Self::MAX_SIDE));
        }
        if !self.std.iter().all(|value| value.is_finite() && *value > 0.0) {
            return Err("preprocess.std: every number must be above 0".into());
        }
        if !(self.mean.iter().all(|value| value.is_finite()) && self.rescale.is_finite() && self.rescale > 0.0) {
            return Err("preprocess: mean must be finite and rescale above 0".into());
        }
        Ok(())
    }
}

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One score a label for the whole picture.
    Classify,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Classify => "classify",
        })
    }
}

/// From picture to tensor; the defaults are torchvision's for ImageNet networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Name of the model's image input.
    pub input: String,
    /// Height and width of the tensor, in pixels.
    pub size: [u32; 2],
    /// How the picture gets that size.
    pub resize: Resize,
    /// How pixels are weighed on the way; always antialiased as Pillow does it.
    #[serde(default)]
    pub filter: Filter,
    /// Order of the colour channels.
    #[serde(default)]
    pub color: Color,
    /// Order of the tensor's axes.
    #[serde(default)]
    pub layout: Layout,
    /// What a pixel's value 0..=255 is multiplied with first.
    #[serde(default = "default_rescale")]
    pub rescale: f32,
    /// Subtracted after that, a number a channel in the tensor's order.
    pub mean: [f32; 3],
    /// Divided by after that, a number a channel in the tensor's order.
    pub std: [f32; 3],
    /// What becomes of a camera's orientation tag.
    #[serde(default)]
    pub exif: ExifPolicy,
    /// What becomes of transparency.
    #[serde(default)]
    pub alpha: AlphaPolicy,
    /// What becomes of 16-bit grey pictures.
    #[serde(default)]
    pub sixteen_bit: SixteenBitPolicy,
}

/// How a picture gets the tensor's height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resize {
    /// Shorter side to `to` pixels, then the centre is cut out (torchvision's `Resize(to)` and `CenterCrop(size)`).
    ShorterSide {
        /// Length of the shorter side before the crop, in pixels.
        to: u32,
    },
    /// Straight to the size; the aspect ratio is not kept.
    Stretch,
    /// As large as fits, the rest filled.
    Letterbox {
        /// Where the picture lies.
        align: Align,
        /// Colour of the rest, before rescaling, in RGB.
        fill: [u8; 3],
    },
}

/// Where a letterboxed picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// In the middle; an odd pixel goes right and below.
    Center,
    /// In the upper left corner.
    TopLeft,
}

/// How pixels are weighed in a resize, with Pillow's names and kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The nearest pixel alone.
    Nearest,
    /// Triangle kernel.
    #[default]
    Bilinear,
    /// Cubic kernel, a = -0.5.
    Bicubic,
    /// Windowed sinc over three lobes.
    Lanczos,
}

/// Order of the colour channels in the tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as OpenCV reads.
    Bgr,
}

/// Order of the tensor's axes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[N, 3, H, W]`.
    #[default]
    Nchw,
    /// `[N, H, W, 3]`.
    Nhwc,
}

/// What becomes of a camera's orientation tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExifPolicy {
    /// The picture is turned upright (Pillow's `ImageOps.exif_transpose`).
    #[default]
    Apply,
    /// The pixels are taken as they are stored.
    Ignore,
}

/// What becomes of transparency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaPolicy {
    /// Dropped, the colours below it kept (Pillow's `convert("RGB")`).
    #[default]
    Drop,
    /// Blended over white.
    White,
    /// Blended over black.
    Black,
}

/// What becomes of 16-bit grey pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SixteenBitPolicy {
    /// What Pillow's `convert("RGB")` gives.
    #[default]
    Pillow,
    /// The upper 8 bits.
    Scale,
}

/// From the model's outputs to the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Name of the output that holds a score a label, `[N, labels]`.
    pub output: String,
    /// What turns the output into scores.
    pub activation: Activation,
}

/// What turns a classifier's output into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Scores that sum to 1: one label is true.
    Softmax,
    /// Each label for itself: several may be true.
    Sigmoid,
    /// The output is the score.
    None,
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

/// How the session runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// Threads that one inference uses; 0 lets the server choose.
    pub threads: usize,
}

fn default_model_file() -> String {
    "model.onnx".into()
}

fn default_rescale() -> f32 {
    1.0 / 255.0
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
        assert_eq!(manifest.runtime, Runtime { threads: 0 });
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
        ];
        for (from, to, expected) in cases {
            let message = Manifest::parse(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(message.contains(expected), "{to}: {message}");
        }
    }
}
