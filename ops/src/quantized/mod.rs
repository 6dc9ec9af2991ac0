//! The operator between 8-bit tensors, as a quantised network has them: `[N, H, W, C]`, one scale and zero point a tensor,
//! with the residual addition and the ReLU that follow it in a residual block.
//!
//! ```text
//! Y = quantise(relu(equilibrium(dequantise(X)) + dequantise(residual)))
//! ```
//!
//! No float tensor is made on the way. The variance comes from integer sums without any rounding; matrices are 16-bit integers,
//! a scale a row; rounding to 8 bits comes once, at the end. Every instruction set gives the same bytes: sums are of integers, or of
//! floats in a fixed order without fused multiply-add.
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

use gate::Gate;
use kernels::Kernels;
use sample::Batch;
use weights::Weights;

use crate::{InstructionSet, Parallel, Parameters, Serial, Shape, ShapeError};

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

/// A block between its edges, with what is fixed when a network is loaded.
#[derive(Debug)]
pub struct Block {
    kernels: Kernels,
    weights: Weights,
    gate: Gate,
    x: Linear,
    /// By row of the panels: from a row's integer to steps of Y.
    scale: Vec<f32>,
    /// From the residual's steps to Y's, where there is one.
    residual_scale: Option<f32>,
    /// What is added to every sum, in steps of Y.
    offset: f32,
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
    /// The block with these parameters, for the kernel of an instruction set, or the next best that this machine has. Of `shape` batch and
    /// pixels don't matter.
    ///
    /// # Errors
    /// [`ShapeError::Buffer`] when a parameter doesn't hold what `shape` asks for.
    pub fn new(
        set: InstructionSet,
        shape: &Shape,
        parameters: &Parameters<'_>,
        edges: &Edges,
    ) -> Result<Self, ShapeError> {
        parameters.check(shape)?;
        let weights = Weights::new(set, shape, parameters);
        let step = edges.x.scale / edges.y.scale;
        let zero_point = f32::from(edges.y.zero_point);
        let residual_scale = edges.residual.map(|residual| residual.scale / edges.y.scale);
        let residual_zero = edges.residual.map_or(0.0, |residual| f32::from(residual.zero_point));
        Ok(Self {
            kernels: Kernels::of(set),
            gate: Gate::new(shape, parameters),
            x: edges.x,
            scale: weights.scales().iter().map(|scale| scale * step).collect(),
            weights,
            residual_scale,
            offset: zero_point - residual_scale.unwrap_or(0.0) * residual_zero,
            low: if edges.relu { zero_point } else { 0.0 },
        })
    }

    /// Runs the operator on `x` into `y`, `[N, H, W, C]` as is `residual`, which is looked at if [`Edges::residual`] is there.
    ///
    /// # Errors
    /// [`ShapeError`] when a buffer doesn't hold what `shape` asks for, or the block is of another shape; `y` is then
    /// untouched.
    pub fn forward(
        &self,
        shape: &Shape,
        x: &[u8],
        residual: &[u8],
        y: &mut [u8],
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        shape.check_buffer("X", x.len())?;
        shape.check_buffer("Y", y.len())?;
        let tensors = RawTensors { x: x.as_ptr(), residual: self.residual(shape, residual)?, y: y.as_mut_ptr() };
        // SAFETY: the slices hold what `shape` asks for, and Y overlaps no other
        unsafe { self.forward_raw(shape, tensors, parallel) }
    }

    /// As [`Self::forward`], with the output written over the input.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_in_place(
        &self,
        shape: &Shape,
        x: &mut [u8],
        residual: &[u8],
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        shape.check_buffer("X", x.len())?;
        let x = x.as_mut_ptr();
        let tensors = RawTensors { x, residual: self.residual(shape, residual)?, y: x };
        // SAFETY: the slices hold what `shape` asks for
        unsafe { self.forward_raw(shape, tensors, parallel) }
    }

    fn residual(&self, shape: &Shape, residual: &[u8]) -> Result<*const u8, ShapeError> {
        if self.residual_scale.is_none() {
            return Ok(std::ptr::null());
        }
        shape.check_buffer("residual", residual.len())?;
        Ok(residual.as_ptr())
    }

    /// As [`Self::forward`].
    ///
    /// # Errors
    /// [`ShapeError::Groups`] when the block is of another shape.
    ///
    /// # Safety
    /// For the length of the call, the bytes that `shape` asks for can be read at `x`, and at `residual` where there is one, and
    /// written at `y`, and nobody else touches them. Y doesn't overlap the others, unless it is the same as one of them.
    pub(crate) unsafe fn forward_raw(
        &self,
        shape: &Shape,
        tensors: RawTensors,
        parallel: &dyn Parallel,
    ) -> Result<(), ShapeError> {
        self.weights.check(shape)?;
        // SAFETY: the memory by the caller's word; the block has just been checked
        let batch = unsafe { Batch::new(self, shape, tensors) };
        // backwards: what the node before wrote last is in the cache still, and the node after reads the first first
        if splits_by_sample(shape.batch, parallel.threads()) {
            parallel.run(shape.batch, &|index| batch.sample(shape.batch - 1 - index).run(&Serial));
        } else {
            (0..shape.batch).rev().for_each(|index| batch.sample(index).run(parallel));
        }
        Ok(())
    }
}

/// Whether each thread takes whole samples: where that leaves none idle.
fn splits_by_sample(batch: usize, threads: usize) -> bool {
    batch >= 4 * threads || (batch > 0 && batch.is_multiple_of(threads))
}
