//! The operator on `[N, C, H, W]` float32 tensors: vectorised, and parallel over samples, channels and groups.
//!
//! A sample's variance is taken and its channels are mixed close in time, while it is in the cache. Nothing is allocated
//! once a thread has seen its largest block.

mod kernels;
mod loops;
mod vector;

use std::cell::RefCell;
use std::sync::OnceLock;

use kernels::Kernels;
use loops::Group;

use crate::parallel::Shared;
use crate::{InstructionSet, Parallel, Parameters, Serial, Shape, ShapeError};

/// Runs the operator on `x` into `y`, both `[N, C, H, W]`, with this machine's best instructions.
///
/// # Errors
/// [`ShapeError::Buffer`] when a buffer doesn't hold what `shape` asks for; `y` is then untouched.
pub fn forward(
    shape: &Shape,
    parameters: &Parameters<'_>,
    x: &[f32],
    y: &mut [f32],
    parallel: &impl Parallel,
) -> Result<(), ShapeError> {
    forward_with(InstructionSet::best(), shape, parameters, x, y, parallel)
}

/// As [`forward`], with the instructions named; portable ones where this machine doesn't have them.
///
/// # Errors
/// As [`forward`].
pub fn forward_with(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    x: &[f32],
    y: &mut [f32],
    parallel: &impl Parallel,
) -> Result<(), ShapeError> {
    parameters.check(shape, x, y)?;
    let block = Block { shape: *shape, parameters: *parameters, kernels: Kernels::of(set) };
    let (sample_len, y) = (shape.sample_len(), Shared::new(y));
    if shape.batch >= cores() {
        parallel.run(shape.batch, &|sample| {
            let from = sample * sample_len;
            // SAFETY: each sample's part of y is its task's alone
            let y = unsafe { y.part(from, sample_len) };
            block.run_sample(&x[from..][..sample_len], y, &Serial);
        });
    } else {
        for sample in 0..shape.batch {
            let from = sample * sample_len;
            // SAFETY: one sample after the other
            let y = unsafe { y.part(from, sample_len) };
            block.run_sample(&x[from..][..sample_len], y, parallel);
        }
    }
    Ok(())
}

/// The variance and the gate of each channel of `x`, both `[N, C]`: the steps that the output hides.
///
/// # Errors
/// As [`forward`].
pub fn variance_and_gate(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    x: &[f32],
) -> Result<(Vec<f32>, Vec<f32>), ShapeError> {
    parameters.check(shape, x, x)?;
    let block = Block { shape: *shape, parameters: *parameters, kernels: Kernels::of(set) };
    let mut scratch = Scratch::default();
    let (mut variance, mut gate) = (Vec::new(), Vec::new());
    for sample in x.chunks_exact(shape.sample_len()) {
        scratch.fit(shape);
        block.variances(sample, &mut scratch.variance, &Serial);
        block.gates(&mut scratch, 1.0);
        variance.extend_from_slice(&scratch.variance);
        gate.extend_from_slice(&scratch.gate);
    }
    Ok((variance, gate))
}

/// From so many samples on, each is one task: the cores are busy without splitting a sample.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// One call's constants.
struct Block<'a> {
    shape: Shape,
    parameters: Parameters<'a>,
    kernels: Kernels,
}

/// A thread's buffers, kept from call to call.
#[derive(Default)]
struct Scratch {
    variance: Vec<f32>,
    hidden: Vec<f32>,
    gate: Vec<f32>,
}

impl Scratch {
    fn fit(&mut self, shape: &Shape) {
        self.variance.resize(shape.channels(), 0.0);
        self.hidden.resize(shape.hidden, 0.0);
        self.gate.resize(shape.channels(), 0.0);
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Block<'_> {
    /// Runs one sample, `[C, H, W]`.
    fn run_sample(&self, x: &[f32], y: &mut [f32], parallel: &impl Parallel) {
        // taken out for the call, so that a pool which runs other work on this thread meanwhile finds it free
        let mut scratch = SCRATCH.take();
        scratch.fit(&self.shape);
        self.variances(x, &mut scratch.variance, parallel);
        self.gates(&mut scratch, self.parameters.gate_scale);
        self.mix(x, &scratch.gate, y, parallel);
        SCRATCH.set(scratch);
    }

    fn variances(&self, x: &[f32], variance: &mut [f32], parallel: &impl Parallel) {
        let (width, pixels) = (self.shape.group_width, self.shape.pixels);
        let variance = Shared::new(variance);
        parallel.run(self.shape.groups, &|group| {
            // SAFETY: each group's part is its task's alone
            let variance = unsafe { variance.part(group * width, width) };
            let channels = x[group * width * pixels..][..width * pixels].chunks_exact(pixels);
            variance.iter_mut().zip(channels).for_each(|(value, channel)| *value = (self.kernels.variance)(channel));
        });
    }

    /// From the scratch's variances to its gates, times `scale`.
    fn gates(&self, scratch: &mut Scratch, scale: f32) {
        let (parameters, dot) = (&self.parameters, self.kernels.dot);
        let rows = parameters.fc1.chunks_exact(self.shape.channels());
        scratch.hidden.iter_mut().zip(rows).for_each(|(value, row)| *value = dot(row, &scratch.variance));
        normalise(&mut scratch.hidden, parameters);
        let rows = parameters.fc2.chunks_exact(self.shape.hidden.max(1));
        scratch.gate.iter_mut().zip(rows).for_each(|(value, row)| {
            *value = scale / (1.0 + (-dot(row, &scratch.hidden)).exp());
        });
    }

    fn mix(&self, x: &[f32], gate: &[f32], y: &mut [f32], parallel: &impl Parallel) {
        let (width, pixels) = (self.shape.group_width, self.shape.pixels);
        let (len, y) = (width * pixels, Shared::new(y));
        parallel.run(self.shape.groups, &|group| {
            (self.kernels.mix)(&mut Group {
                x: &x[group * len..][..len],
                matrix: &self.parameters.whitening[group * width * width..][..width * width],
                scale: &gate[group * width..][..width],
                // SAFETY: each group's part is its task's alone
                y: unsafe { y.part(group * len, len) },
                pixels,
            });
        });
    }
}

/// LayerNorm and ReLU, in place.
fn normalise(hidden: &mut [f32], parameters: &Parameters<'_>) {
    let count = hidden.len() as f32;
    let mean = hidden.iter().sum::<f32>() / count;
    let spread = hidden.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    let factor = 1.0 / (spread + parameters.epsilon).sqrt();
    let affine = parameters.ln_scale.iter().zip(parameters.ln_bias);
    hidden.iter_mut().zip(affine).for_each(|(value, (scale, bias))| {
        *value = ((*value - mean) * factor * scale + bias).max(0.0);
    });
}
