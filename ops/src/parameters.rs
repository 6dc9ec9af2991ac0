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
        check_buffer("whitening", self.whitening, shape.channels() * shape.group_width)?;
        self.check_gate(shape)
    }

    /// The same for all but the whitening.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_gate(&self, shape: &Shape) -> Result<(), ShapeError> {
        let (channels, hidden) = (shape.channels(), shape.hidden);
        check_buffer("fc1", self.fc1, hidden * channels)?;
        check_buffer("ln_scale", self.ln_scale, hidden)?;
        check_buffer("ln_bias", self.ln_bias, hidden)?;
        check_buffer("fc2", self.fc2, channels * hidden)
    }
}

fn check_buffer(input: &'static str, buffer: &[f32], expected: usize) -> Result<(), ShapeError> {
    let actual = buffer.len();
    if actual == expected { Ok(()) } else { Err(ShapeError::Buffer { input, expected, actual }) }
}
