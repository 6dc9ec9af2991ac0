//! `[preprocess]`: from picture to tensor.

use serde::{Deserialize, Serialize};

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

impl Preprocess {
    /// Longest side of a tensor, in pixels.
    const MAX_SIDE: u32 = 8192;

    pub(super) fn check(&self) -> Result<(), String> {
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

fn default_rescale() -> f32 {
    1.0 / 255.0
}
