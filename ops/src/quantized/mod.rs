//! The operator between 8-bit tensors, as a quantised network has them: `[N, H, W, C]`, one scale and zero point a tensor,
//! with the residual addition and the ReLU that follow it in a residual block.
//!
//! ```text
//! Y = quantise(relu(equilibrium(dequantise(X)) + dequantise(residual)))
//! ```
//!
//! No float tensor is made on the way. The variance comes from integer sums without any rounding. Whitening matrices are
//! kept as 16-bit integers, a scale a row; the gate's part of a channel stays in single precision, so that nothing is quantised by
//! sample. Rounding to 8 bits comes once, at the end. Every instruction set gives the same bytes: sums are of
//! integers, or of floats in a fixed order without fused multiply-add.
//!
//! Nothing is allocated once a thread has seen its largest block.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod gate;
mod kernels;
mod mixing;
mod portable;
mod sample;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod weights;

use kernels::Kernels;
use sample::Batch;
pub use weights::Weights;

use crate::{Parallel, Parameters, Serial, Shape, ShapeError};

/// How 8-bit numbers stand for real ones: `scale * (number - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// The distance of two neighbours.
    pub scale: f32,
    /// What stands for 0.
    pub zero_point: u8,
}

/// The tensors around the operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// Of X.
    pub x: Linear,
    /// Of Y.
    pub y: Linear,
    /// Of what is added, where anything is.
    pub residual: Option<Linear>,
    /// Whether negative sums become 0.
    pub relu: bool,
}

/// What is fixed when a network is loaded.
#[derive(Debug)]
pub struct Block {
    edges: Edges,
    weights: Weights,
    kernels: Kernels,
    /// By row of the panels, as the scales: what X's zero point takes from a row's sum.
    start: Vec<i32>,
    /// From a row's integer to steps of Y.
    scale: Vec<f32>,
    /// From the residual's steps to Y's.
    residual_scale: f32,
    /// Smallest output.
    low: f32,
}

/// Tensors of one call, each `[N, H, W, C]`, in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawTensors {
    pub(crate) x: *const u8,
    /// Null where nothing is added.
    pub(crate) residual: *const u8,
    pub(crate) y: *mut u8,
}

impl Block {
    /// A block with these edges around it.
    pub fn new(weights: Weights, edges: Edges) -> Self {
        let zero_point = i32::from(edges.x.zero_point);
        let step = edges.x.scale / edges.y.scale;
        Self {
            kernels: Kernels::of(weights.set()),
            start: weights.sums().iter().map(|sum| -zero_point * sum).collect(),
            scale: weights.scales().iter().map(|scale| scale * step).collect(),
            residual_scale: edges.residual.map_or(0.0, |residual| residual.scale / edges.y.scale),
            low: if edges.relu { f32::from(edges.y.zero_point) } else { 0.0 },
            weights,
            edges,
        }
    }

    /// Runs the operator on `x` into `y`, `[N, H, W, C]` as is `residual`, which there is if [`Edges::residual`] is.
    /// `parameters.whitening` isn't looked at: it is in the weights.
    ///
    /// # Errors
    /// [`ShapeError`] when a buffer doesn't hold what `shape` asks for, or the weights are of another shape; `y` is then
    /// untouched.
    pub fn forward(
        &self,
        shape: &Shape,
        parameters: &Parameters<'_>,
        x: &[u8],
        residual: &[u8],
        y: &mut [u8],
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        shape.check_buffer("X", x.len())?;
        shape.check_buffer("Y", y.len())?;
        let tensors = RawTensors { x: x.as_ptr(), residual: self.residual(shape, residual)?, y: y.as_mut_ptr() };
        // SAFETY: the slices hold what `shape` asks for, and Y overlaps no other
        unsafe { self.forward_raw(shape, parameters, tensors, parallel) }
    }

    /// As [`Self::forward`], with the output written over the input.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_in_place(
        &self,
        shape: &Shape,
        parameters: &Parameters<'_>,
        x: &mut [u8],
        residual: &[u8],
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        shape.check_buffer("X", x.len())?;
        let x = x.as_mut_ptr();
        let tensors = RawTensors { x, residual: self.residual(shape, residual)?, y: x };
        // SAFETY: the slices hold what `shape` asks for
        unsafe { self.forward_raw(shape, parameters, tensors, parallel) }
    }

    fn residual(&self, shape: &Shape, residual: &[u8]) -> Result<*const u8, ShapeError> {
        if self.edges.residual.is_none() {
            return Ok(std::ptr::null());
        }
        shape.check_buffer("residual", residual.len())?;
        Ok(residual.as_ptr())
    }

    /// As [`Self::forward`].
    ///
    /// # Errors
    /// [`ShapeError`] when a parameter doesn't hold what `shape` asks for, or the weights are of another shape.
    ///
    /// # Safety
    /// For the length of the call, the bytes that `shape` asks for can be read at `x`, and at `residual` where there is one, and
    /// written at `y`, and nobody else touches them. Y doesn't overlap the others, unless it is the same as one of them.
    pub(crate) unsafe fn forward_raw(
        &self,
        shape: &Shape,
        parameters: &Parameters<'_>,
        tensors: RawTensors,
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        self.weights.check(shape)?;
        parameters.check_gate(shape)?;
        // SAFETY: the memory by the caller's word; weights and parameters have just been checked
        let batch = unsafe { Batch::new(self, shape, parameters, tensors) };
        if splits_by_sample(shape.batch, parallel.threads()) {
            parallel.run(shape.batch, &|index| batch.sample(index).run(&Serial));
        } else {
            (0..shape.batch).for_each(|index| batch.sample(index).run(parallel));
        }
        Ok(())
    }
}

/// Whether each thread takes whole samples: where that leaves none idle.
fn splits_by_sample(batch: usize, threads: usize) -> bool {
    batch >= 4 * threads || (batch > 0 && batch.is_multiple_of(threads))
}
