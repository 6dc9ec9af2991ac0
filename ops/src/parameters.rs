//! What a block has learned, borrowed.

use crate::{Shape, ShapeError};

/// The operator's constant inputs and attributes, all row-major.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    /// `[G, d, d]`: what each group's channels are mixed with.
    pub whitening: &'a [f32],
    /// `[C/r, C]`: from variances to hidden.
    pub fc1: &'a [f32],
    /// `[C/r]`: LayerNorm's scale.
    pub ln_scale: &'a [f32],
    /// `[C/r]`: LayerNorm's bias.
    pub ln_bias: &'a [f32],
    /// `[C, C/r]`: from hidden to gates.
    pub fc2: &'a [f32],
    /// What every gate is multiplied with.
    pub gate_scale: f32,
    /// LayerNorm's epsilon.
    pub epsilon: f32,
}

impl Parameters<'_> {
    /// Checks that the parameters' buffers hold what `shape` asks for.
    ///
    /// # Errors
    /// [`ShapeError::Buffer`] naming the first that doesn't.
    pub(crate) fn check(&self, shape: &Shape) -> Result<(), ShapeError> {
        let (channels, hidden) = (shape.channels(), shape.hidden);
        let sizes = [
            ("whitening", self.whitening, channels * shape.group_width),
            ("fc1", self.fc1, hidden * channels),
            ("ln_scale", self.ln_scale, hidden),
            ("ln_bias", self.ln_bias, hidden),
            ("fc2", self.fc2, channels * hidden),
        ];
        match sizes.into_iter().find(|(_, buffer, expected)| buffer.len() != *expected) {
            Some((input, buffer, expected)) => Err(ShapeError::Buffer { input, expected, actual: buffer.len() }),
            None => Ok(()),
        }
    }
}
