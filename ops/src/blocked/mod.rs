//! The operator on float32 tensors in ONNX Runtime's blocked layout, `[N, ceil(C / B), H * W, B]`, with what follows it in a residual
//! network: `relu(Y + addend)`.
//!
//! The runtime's convolutions read and write this layout (B is 16 with AVX-512, 8 with AVX2), so that a network's CE blocks need
//! no copy in between. A group of B channels is one contiguous slab; groups of other widths are mixed block by block, each from the
//! channels of all groups that reach into it. Channels that fill up the last block may hold anything finite, and come out as 0.
//!
//! The 1x1 convolution whose results are the block's input can be part of it.
//!
//! A sample's variance is taken and its channels are mixed close in time, while it is in the cache. Nothing is allocated once a
//! thread has seen its largest block. The gate's weights are kept in 16 bits; results are within about 1e-5 of
//! [`mod@crate::reference`], the same however work is split.

mod batch;
mod convolution;
mod kernels;
mod mixing;
mod packed;
mod variance;

pub use convolution::Pointwise;
pub use packed::Packed;

use batch::Batch;
pub(crate) use convolution::PointwiseMemory;
use kernels::Kernels;

use crate::{InstructionSet, Parallel, Parameters, Shape, ShapeError};

/// Channels in the widest block.
const MAX_BLOCK: usize = 16;

/// What is done with the operator's result before it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Is added, in the layout of Y.
    pub addend: Option<&'a [f32]>,
    /// Whether what is below zero becomes zero.
    pub relu: bool,
}

/// Numbers of a tensor of `shape` in blocks of `block` channels.
pub fn blocked_len(shape: &Shape, block: usize) -> usize {
    shape.batch * shape.channels().div_ceil(block) * block * shape.pixels
}

/// Runs the operator on `x` into `y`. `packed` is made of `parameters`.
///
/// # Errors
/// [`ShapeError::Buffer`] when a buffer doesn't hold what `shape` asks for; `y` is then untouched.
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub fn forward(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    packed: &Packed,
    x: &[f32],
    epilogue: Epilogue<'_>,
    y: &mut [f32],
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    check("X", shape, packed, x.len())?;
    check("Y", shape, packed, y.len())?;
    let memory = Memory { x: x.as_ptr(), addend: addend(shape, packed, epilogue)?, y: y.as_mut_ptr() };
    // SAFETY: the slices hold what `shape` asks for, and don't overlap
    unsafe { forward_raw(set, shape, parameters, packed, memory, None, epilogue.relu, parallel) }
}

/// As [`forward`], X being what `pointwise` gives.
///
/// # Errors
/// As [`forward`].
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub fn forward_convolved(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    packed: &Packed,
    pointwise: Pointwise<'_>,
    epilogue: Epilogue<'_>,
    y: &mut [f32],
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    check("Y", shape, packed, y.len())?;
    let Pointwise { x, inputs, filters, bias } = pointwise;
    let outputs = packed.blocks() * packed.block;
    let buffer = |input, expected: usize, actual| {
        if actual == expected { Ok(()) } else { Err(ShapeError::Buffer { input, expected, actual }) }
    };
    buffer("X", shape.batch * inputs * shape.pixels, x.len())?;
    buffer("the filters", outputs * inputs, filters.len())?;
    buffer("the bias", outputs, bias.len())?;
    let y = y.as_mut_ptr();
    let memory = Memory { x: y, addend: addend(shape, packed, epilogue)?, y };
    let pointwise = PointwiseMemory { x: x.as_ptr(), inputs, filters: filters.as_ptr(), bias: bias.as_ptr() };
    // SAFETY: the slices hold what `shape` asks for, and don't overlap
    unsafe { forward_raw(set, shape, parameters, packed, memory, Some(pointwise), epilogue.relu, parallel) }
}

/// As [`forward`], with the output written over the input.
///
/// # Errors
/// As [`forward`].
pub fn forward_in_place(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    packed: &Packed,
    x: &mut [f32],
    epilogue: Epilogue<'_>,
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    check("X", shape, packed, x.len())?;
    let y = x.as_mut_ptr();
    let memory = Memory { x: y, addend: addend(shape, packed, epilogue)?, y };
    // SAFETY: the slices hold what `shape` asks for, and don't overlap
    unsafe { forward_raw(set, shape, parameters, packed, memory, None, epilogue.relu, parallel) }
}

fn addend(shape: &Shape, packed: &Packed, epilogue: Epilogue<'_>) -> Result<*const f32, ShapeError> {
    let Some(addend) = epilogue.addend else { return Ok(std::ptr::null()) };
    check("the addend", shape, packed, addend.len())?;
    Ok(addend.as_ptr())
}

fn check(input: &'static str, shape: &Shape, packed: &Packed, actual: usize) -> Result<(), ShapeError> {
    let expected = blocked_len(shape, packed.block);
    if actual == expected { Ok(()) } else { Err(ShapeError::Buffer { input, expected, actual }) }
}

/// Where a run's tensors lie, each of [`blocked_len`] numbers.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) x: *const f32,
    /// Null when nothing is added.
    pub(crate) addend: *const f32,
    pub(crate) y: *mut f32,
}

/// As [`forward`], on memory of somebody else's. With `pointwise`, its results are written to `y`, which is `x` then.
///
/// # Errors
/// [`ShapeError::Buffer`] when a parameter doesn't hold what `shape` asks for.
///
/// # Safety
/// For the length of the call, the numbers that `shape` asks for can be read at `x` and, where it isn't null, `addend`, and
/// written at `y`, and nobody else writes them. `y` is the same as `x` or doesn't overlap it, and doesn't overlap `addend`. The numbers of `pointwise`
/// can be read, `y` overlaps none of them, and its inputs are of whole blocks.
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub(crate) unsafe fn forward_raw(
    set: InstructionSet,
    shape: &Shape,
    parameters: &Parameters<'_>,
    packed: &Packed,
    memory: Memory,
    pointwise: Option<PointwiseMemory>,
    relu: bool,
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    parameters.check(shape)?;
    if !packed.is_of(shape) {
        let (expected, actual) = (shape.channels() * shape.group_width, packed.channels * packed.group_width);
        return Err(ShapeError::Buffer { input: "the packed whitening", expected, actual });
    }
    let kernels = Kernels::of(set, packed.block);
    // SAFETY: the memory by the caller's word; the parameters have just been checked
    unsafe { Batch::new(kernels, shape, parameters, packed, memory, pointwise, relu) }.run(parallel);
    Ok(())
}
