//! Which kernels are launched, over how many blocks, with which arguments: the same on a GPU and where one is emulated.

use std::ffi::c_void;

use super::CudaError;
use crate::Shape;

const WARP: usize = 32;
/// Threads of a block, and pixels that one block mixes.
const BLOCK: usize = 128;
const LARGEST_BLOCK: usize = 256;
/// CUDA's limit for a grid along x.
const LARGEST_GRID: usize = (1 << 31) - 1;

/// Where the operator's inputs and its output lie in the GPU's memory, as [`crate::Parameters`] has them.
#[derive(Debug, Clone, Copy)]
pub struct DeviceTensors {
    /// X, `[N, C, H, W]`; not Y's memory.
    pub x: *const f32,
    /// What each group's channels are mixed with.
    pub whitening: *const f32,
    /// From variances to hidden.
    pub fc1: *const f32,
    /// LayerNorm's scale.
    pub ln_scale: *const f32,
    /// LayerNorm's bias.
    pub ln_bias: *const f32,
    /// From hidden to gates.
    pub fc2: *const f32,
    /// Y, `[N, C, H, W]`.
    pub y: *mut f32,
}

/// The kernels by their names in the source.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    ChannelVariances,
    ProjectVariances,
    MixChannels,
}

impl Kernel {
    pub(super) const ALL: [Self; 3] = [Self::ChannelVariances, Self::ProjectVariances, Self::MixChannels];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChannelVariances => "channel_variances",
            Self::ProjectVariances => "project_variances",
            Self::MixChannels => "mix_channels",
        }
    }
}

/// What runs kernels in the order in which they are launched.
pub(super) trait Gpu {
    /// Memory for what lies between kernels; what is launched before it is dropped may use it.
    type Scratch;

    fn scratch(&self, floats: usize) -> Result<Self::Scratch, CudaError>;

    fn address(scratch: &Self::Scratch) -> u64;

    /// # Safety
    /// The arguments are the kernel's.
    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        threads: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError>;
}

/// Launches the operator.
///
/// # Safety
/// The tensors are of `shape` and stay where they are until the GPU has passed this; Y overlaps none of them. The GPU's kernels are of the
/// shape's width.
pub(super) unsafe fn launch<G: Gpu>(
    gpu: &G,
    shape: &Shape,
    tensors: &DeviceTensors,
    [gate_scale, epsilon]: [f32; 2],
) -> Result<(), CudaError> {
    let (channels, hidden) = (shape.channels(), shape.hidden);
    let tiles = shape.pixels.div_ceil(BLOCK);
    let size = || CudaError::Size { samples: shape.batch, channels };
    let grid = |blocks: usize| if blocks > LARGEST_GRID { Err(size()) } else { Ok(blocks as u32) };
    let of_channels = grid(shape.batch * channels)?;
    let of_hidden = grid((shape.batch * hidden).div_ceil(BLOCK / WARP))?;
    let of_tiles = grid(shape.batch * shape.groups * tiles)?;
    if of_channels == 0 {
        return Ok(());
    }
    let integer = |value: usize| i32::try_from(value).map_err(|_| size());
    let [batch, groups, pixels] = [integer(shape.batch)?, integer(shape.groups)?, integer(shape.pixels)?];
    let [channel_count, hidden_count, tile_count] = [integer(channels)?, integer(hidden)?, integer(tiles)?];
    let (spread, block) = (shape.pixels.next_multiple_of(WARP).min(LARGEST_BLOCK) as u32, BLOCK as u32);

    let scratch = gpu.scratch(shape.batch * (channels + hidden))?;
    let variance = G::address(&scratch);
    let projected = variance + (shape.batch * channels * size_of::<f32>()) as u64;
    let DeviceTensors { x, whitening, fc1, ln_scale, ln_bias, fc2, y } = tensors;
    let variances = &mut [at(x), at(&variance), at(&pixels)];
    let projection = &mut [at(&variance), at(fc1), at(&projected), at(&batch), at(&channel_count), at(&hidden_count)];
    let mixing = &mut [
        at(x),
        at(&projected),
        at(whitening),
        at(ln_scale),
        at(ln_bias),
        at(fc2),
        at(y),
        at(&groups),
        at(&pixels),
        at(&hidden_count),
        at(&tile_count),
        at(&gate_scale),
        at(&epsilon),
    ];
    // SAFETY: the arguments are those of the kernels in their order, and point to what the caller vouches for or to scratch memory
    unsafe {
        gpu.launch(Kernel::ChannelVariances, of_channels, spread, variances)?;
        gpu.launch(Kernel::ProjectVariances, of_hidden, block, projection)?;
        gpu.launch(Kernel::MixChannels, of_tiles, block, mixing)
    }
}

/// A kernel's argument, where it lies.
fn at<T>(argument: &T) -> *mut c_void {
    std::ptr::from_ref(argument).cast_mut().cast()
}
