//! The operator on `[N, C, H, W]` float32 tensors: vectorised, and parallel over samples, channels, groups and pixels.
//!
//! A sample's variance is taken and its channels are mixed close in time, while it is in the cache. Nothing is
//! allocated once a thread has seen its largest block. Sums are in single precision, and long ones go on in double:
//! results are within about 1e-6 of [`mod@crate::reference`].

mod kernels;
mod mixing;
mod sample;

use kernels::Kernels;
use sample::Batch;

use crate::scratch::{GateBuffers, with_gate_buffers};
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
    parallel: &dyn Parallel,
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
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    shape.check_buffer("X", x.len())?;
    shape.check_buffer("Y", y.len())?;
    // SAFETY: both slices hold what `shape` asks for, and don't overlap
    unsafe { forward_raw(set, shape, parameters, x.as_ptr(), y.as_mut_ptr(), parallel) }
}

/// As [`forward_with`], with the output written over the input: a third less memory traffic.
///
/// # Errors
/// As [`forward`].
pub fn forward_in_place(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    x: &mut [f32],
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    shape.check_buffer("X", x.len())?;
    let x = x.as_mut_ptr();
    // SAFETY: the slice holds what `shape` asks for
    unsafe { forward_raw(set, shape, parameters, x, x, parallel) }
}

/// As [`forward_with`], on memory of somebody else's.
///
/// # Errors
/// [`ShapeError::Buffer`] when a parameter doesn't hold what `shape` asks for.
///
/// # Safety
/// For the length of the call, the numbers that `shape` asks for can be read at `x` and written at `y`, and nobody else
/// touches them. The two are the same or don't overlap.
pub(crate) unsafe fn forward_raw(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    x: *const f32,
    y: *mut f32,
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    parameters.check(shape)?;
    // SAFETY: the memory by the caller's word; the parameters have just been checked
    let batch = unsafe { Batch::new(Kernels::of(set), shape, parameters, x, y) };
    if splits_by_sample(shape.batch, parallel.threads()) {
        parallel.run(shape.batch, &|index| batch.sample(index).run(&Serial));
    } else {
        (0..shape.batch).for_each(|index| batch.sample(index).run(parallel));
    }
    Ok(())
}

/// Whether each thread takes whole samples: where that leaves none idle. Else all threads share one sample after the
/// other.
fn splits_by_sample(batch: usize, threads: usize) -> bool {
    batch >= 4 * threads || (batch > 0 && batch.is_multiple_of(threads))
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
    shape.check_buffer("X", x.len())?;
    let parameters = &Parameters { gate_scale: 1.0, ..*parameters };
    parameters.check(shape)?;
    // SAFETY: only read, and nothing is written before `mix`
    let batch = unsafe { Batch::new(Kernels::of(set), shape, parameters, x.as_ptr(), std::ptr::null_mut()) };
    let (mut variances, mut gates) = (Vec::new(), vec![0.0; shape.batch * shape.channels()]);
    for (index, gate) in gates.chunks_exact_mut(shape.channels()).enumerate() {
        with_gate_buffers(|GateBuffers { variance, hidden, .. }| {
            let sample = batch.sample(index);
            let (variance, hidden) = (variance.take(shape.channels()), hidden.take(shape.hidden));
            sample.variance(variance, &Serial);
            sample.hidden(variance, hidden, &Serial);
            let groups = gate.chunks_exact_mut(shape.group_width).enumerate();
            groups.for_each(|(group, gate)| sample.diagonal(hidden, group, gate));
            variances.extend_from_slice(variance);
        });
    }
    Ok((variances, gates))
}
