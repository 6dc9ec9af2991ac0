//! The gate: from exact sums to what the diagonal is given, in an order that no instruction set changes.

use super::kernels::Kernels;
use crate::gate::normalize;
use crate::{Parameters, Shape};

/// The gate's two layers, as a kernel wants them.
#[derive(Debug)]
pub(super) struct Gate {
    first: Layer,
    second: Layer,
    ln_scale: Vec<f32>,
    ln_bias: Vec<f32>,
    gate_scale: f32,
    epsilon: f32,
}

/// A matrix of 16-bit integers, a scale a row: what a sample costs is mostly the reading of it.
#[derive(Debug)]
struct Layer {
    columns: usize,
    weights: Vec<i16>,
    scales: Vec<f32>,
}

impl Gate {
    pub(super) fn new(shape: &Shape, parameters: &Parameters<'_>) -> Self {
        Self {
            first: Layer::new(parameters.fc1, shape.channels()),
            second: Layer::new(parameters.fc2, shape.hidden),
            ln_scale: parameters.ln_scale.to_vec(),
            ln_bias: parameters.ln_bias.to_vec(),
            gate_scale: parameters.gate_scale,
            epsilon: parameters.epsilon,
        }
    }

    /// Length of the hidden vector.
    pub(super) fn hidden(&self) -> usize {
        self.ln_scale.len()
    }

    /// Each channel's gate times `gate_scale`, written over the variances; `hidden` is for use meanwhile.
    pub(super) fn run(&self, kernels: &Kernels, channels: &mut [f32], hidden: &mut [f32]) {
        self.first.run(kernels, channels, hidden);
        let (ln_scale, ln_bias) = (&self.ln_scale[..], &self.ln_bias[..]);
        let (gate_scale, epsilon) = (self.gate_scale, self.epsilon);
        normalize(hidden, &Parameters { whitening: &[], fc1: &[], ln_scale, ln_bias, fc2: &[], gate_scale, epsilon });
        self.second.run(kernels, hidden, channels);
        channels.iter_mut().for_each(|logit| *logit = self.gate_scale / (1.0 + (-*logit).exp()));
    }
}

impl Layer {
    fn new(matrix: &[f32], columns: usize) -> Self {
        let mut layer = Self { columns, weights: Vec::with_capacity(matrix.len()), scales: Vec::new() };
        for row in matrix.chunks_exact(columns) {
            let largest = row.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
            let scale = if largest > 0.0 { largest / f32::from(i16::MAX) } else { 1.0 };
            layer.weights.extend(row.iter().map(|weight| (weight / scale).round() as i16));
            layer.scales.push(scale);
        }
        layer
    }

    fn run(&self, kernels: &Kernels, input: &[f32], output: &mut [f32]) {
        let rows = self.weights.chunks_exact(self.columns).zip(&self.scales);
        output.iter_mut().zip(rows).for_each(|(value, (row, scale))| *value = (kernels.dot)(row, input) * scale);
    }
}

/// Unbiased variance of `count` numbers, at least two, from their sum and sum of squares.
pub(super) fn variance(count: usize, sum: u64, squares: u64, scale: f32) -> f32 {
    let count = count as u128;
    let spread = count * u128::from(squares) - u128::from(sum) * u128::from(sum);
    let scale = f64::from(scale);
    (spread as f64 / (count * (count - 1)) as f64 * scale * scale) as f32
}
