//! x
mod postprocess;
pub use postprocess::{Prediction, classify};
#[derive(Debug, Clone, Copy, Default)]
pub struct DecodeLimits { pub max_pixels: u64 }
pub struct DecodePolicy;
impl crate::manifest::Preprocess { pub fn decode_policy(&self) -> DecodePolicy { DecodePolicy } }
pub fn decode(_b: &[u8], _p: &DecodePolicy, _l: &DecodeLimits) -> crate::error::Result<image::RgbImage> { todo!() }
pub fn preprocess(_p: &image::RgbImage, _s: &crate::manifest::Preprocess) -> crate::error::Result<ndarray::Array3<f32>> { todo!() }
