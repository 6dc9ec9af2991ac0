//! The operator said plainly, in double precision: what every faster kernel is held against.

use crate::{Parameters, Shape, ShapeError};

/// What the operator computes, with the steps between.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// `[N, C]`: unbiased variance over the pixels.
    pub variance: Vec<f32>,
    /// `[N, C]`: the gate, before `gate_scale`.
    pub gate: Vec<f32>,
    /// `[N, C, H, W]`: the output.
    pub y: Vec<f32>,
}

/// Runs the operator on `x`, `[N, C, H, W]`.
///
/// # Errors
/// [`ShapeError::Buffer`] when a buffer doesn't hold what `shape` asks for.
pub fn forward(shape: &Shape, parameters: &Parameters<'_>, x: &[f32]) -> Result<Forward, ShapeError> {
    parameters.check(shape)?;
    shape.check_buffer("X", x.len())?;
    let (mut variance, mut gate, mut y) = (Vec::new(), Vec::new(), Vec::new());
    for sample in x.chunks_exact(shape.sample_len()) {
        let sample_variance: Vec<f64> = sample.chunks_exact(shape.pixels).map(channel_variance).collect();
        let sample_gate = gates(shape, parameters, &sample_variance);
        y.extend(mix(shape, parameters, &sample_gate, sample));
        variance.extend(sample_variance.iter().map(|&value| value as f32));
        gate.extend(sample_gate.iter().map(|&value| value as f32));
    }
    Ok(Forward { variance, gate, y })
}

fn channel_variance(pixels: &[f32]) -> f64 {
    let count = pixels.len() as f64;
    let mean = pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    pixels.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / (count - 1.0)
}

fn gates(shape: &Shape, parameters: &Parameters<'_>, variance: &[f64]) -> Vec<f64> {
    let linear = product(parameters.fc1, variance);
    let count = shape.hidden as f64;
    let mean = linear.iter().sum::<f64>() / count;
    let spread = linear.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let deviation = (spread + f64::from(parameters.epsilon)).sqrt();
    let affine = parameters.ln_scale.iter().zip(parameters.ln_bias);
    let hidden: Vec<f64> = linear
        .iter()
        .zip(affine)
        .map(|(value, (&scale, &bias))| (value - mean) / deviation * f64::from(scale) + f64::from(bias))
        // not `max`, which would turn NaN into 0
        .map(|value| if value < 0.0 { 0.0 } else { value })
        .collect();
    product(parameters.fc2, &hidden).iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect()
}

/// Matrix (row-major) times vector.
fn product(matrix: &[f32], vector: &[f64]) -> Vec<f64> {
    let row_sum = |row: &[f32]| row.iter().zip(vector).map(|(&weight, value)| f64::from(weight) * value).sum();
    matrix.chunks_exact(vector.len()).map(row_sum).collect()
}

fn mix(shape: &Shape, parameters: &Parameters<'_>, gate: &[f64], sample: &[f32]) -> Vec<f32> {
    let (width, pixels) = (shape.group_width, shape.pixels);
    let mut y = Vec::with_capacity(sample.len());
    for (channel, row) in parameters.whitening.chunks_exact(width).enumerate() {
        let group = &sample[channel / width * width * pixels..][..width * pixels];
        let scale = f64::from(parameters.gate_scale) * gate[channel];
        y.extend((0..pixels).map(|pixel| {
            let mixed: f64 = row
                .iter()
                .enumerate()
                .map(|(k, &weight)| f64::from(weight) * f64::from(group[k * pixels + pixel]))
                .sum();
            (mixed + scale * f64::from(sample[channel * pixels + pixel])) as f32
        }));
    }
    y
}
