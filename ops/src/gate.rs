//! The gate's normalisation, the same whatever layout its variances come from.

use crate::Parameters;

/// LayerNorm and ReLU, in place.
pub(crate) fn normalize(hidden: &mut [f32], parameters: &Parameters<'_>) {
    let count = hidden.len() as f64;
    let mean = hidden.iter().copied().map(f64::from).sum::<f64>() / count;
    let spread = hidden.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let deviation = (spread + f64::from(parameters.epsilon)).sqrt();
    for (value, (&scale, &bias)) in hidden.iter_mut().zip(parameters.ln_scale.iter().zip(parameters.ln_bias)) {
        let normal = ((f64::from(*value) - mean) / deviation) as f32 * scale + bias;
        // not `max`, which would turn NaN into 0
        *value = if normal < 0.0 { 0.0 } else { normal };
    }
}
