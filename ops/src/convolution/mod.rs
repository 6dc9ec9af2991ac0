//! Convolutions of 1x1 and 3x3 pixels on float32 tensors in ONNX Runtime's blocked layout, and the one of 7x7 pixels that makes it of a picture.
//!
//! X is `[N, inputs / B, H * W, B]` in memory and Y `[N, outputs / B, H' * W', B]`, as the runtime's own convolutions have them (B is 16 with
//! AVX-512, 8 with AVX2). Dilations are 1, there is one group; what follows in a residual network is taken along: `clamp(Y + addend)`.
//!
//! Those of 3x3 pixels take fewer products by Winograd's way, F(2x2, 3x3), F(3x3, 3x3) and F(4x4, 3x3) at strides of 1 and F(2x2, 3x3) at strides
//! of 2; or they are the definition's sum, as those of 1x1 are. The one of 7x7 pixels at strides of 2 is made by F(4x4, 4x4). Results differ from the
//! definition's by rounding: by about 1e-6 of the largest, 5e-6 for F(3x3), 1e-5 for F(4x4), the same however work is split.
//!
//! Tiles go through it some at a time, as many as stay in a core's cache with all that is made of them; threads share the tiles, or the outputs,
//! and never wait for each other. A network's filters fit into no cache: they are fetched while those before them are used. Nothing is allocated once
//! a thread has seen its largest convolution.

mod filters;
mod kernels;
mod pointwise;
mod stem;
mod tiles;
mod transform;

pub use filters::transformed;

use crate::multiply::{groups, widest_group};
use crate::phases::{self, Phase};
use crate::scratch::with_tile_buffers;
use crate::{InstructionSet, Parallel, ShapeError};
use tiles::Batch;

/// What the tiles of a task and all that is made of them may take: about a second-level cache. More tiles at once read the filters less often.
const TASK_BYTES: usize = 1 << 20;

/// Threads share the outputs, and each transforms all pixels, where a picture's filters are so many times as large as its pixels; else they
/// share the tiles, and each reads all filters.
const FILTERS_TO_PIXELS: usize = 4;

/// Even and odd rows, of even and odd columns: what a picture is taken apart into at strides of 2.
const PHASES: usize = 4;

/// How many results are made at once, of what filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// One, of a 1x1 filter.
    Pixel,
    /// One, of a 3x3 filter, by the definition, at strides of 2: at strides of 1 the others are faster.
    One,
    /// 2x2, of 4x4 pixels, at strides of 1.
    Two,
    /// 2x2, of 5x5 pixels, at strides of 2.
    StridedTwo,
    /// 3x3, of 5x5 pixels, at strides of 1.
    Three,
    /// 4x4, of 6x6 pixels, at strides of 1.
    Four,
    /// 4x4, of 7x7 filters, at strides of 2: of 7x7 pixels in even and odd rows and columns. X has its channels in rows, `[N, inputs, H * W]`.
    Stem,
}

impl Tile {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Pixel, Self::One, Self::Two, Self::StridedTwo, Self::Three, Self::Four, Self::Stem];

    /// The one that so many pixels a side make, for this stride.
    pub fn of(side: usize, stride: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|tile| tile.side() == side && tile.takes(stride))
    }

    /// Results a side.
    pub fn size(self) -> usize {
        match self {
            Self::Pixel | Self::One => 1,
            Self::Two | Self::StridedTwo => 2,
            Self::Three => 3,
            Self::Four | Self::Stem => 4,
        }
    }

    /// Pixels a side that a tile is made of, of one phase; as many products are taken of each pair of channels.
    pub fn side(self) -> usize {
        match self {
            Self::Pixel => 1,
            Self::One => 3,
            Self::Two => 4,
            Self::StridedTwo | Self::Three => 5,
            Self::Four => 6,
            Self::Stem => 7,
        }
    }

    /// Numbers a side of a filter.
    pub fn filter_side(self) -> usize {
        match self {
            Self::Pixel => 1,
            Self::Stem => 7,
            _ => 3,
        }
    }

    /// Zeros on a side of a picture, at most: of more, whole rows of results would be made of zeros alone.
    pub fn most_pads(self) -> usize {
        self.filter_side() - 1
    }

    /// Whether it is for this stride.
    pub fn takes(self, stride: usize) -> bool {
        match self {
            Self::Pixel => matches!(stride, 1 | 2),
            Self::Two | Self::Three | Self::Four => stride == 1,
            Self::One | Self::StridedTwo | Self::Stem => stride == 2,
        }
    }

    /// Products of each pair of channels.
    pub(crate) fn positions(self) -> usize {
        self.side().pow(2)
    }

    /// What `inputs` channels are taken apart into: as many numbers are multiplied at each position.
    pub fn planes(self, inputs: usize) -> usize {
        if self == Self::Stem { PHASES * inputs } else { inputs }
    }

    /// Channels of X that lie together, where Y has blocks of `block`.
    pub fn inputs_together(self, block: usize) -> usize {
        if self == Self::Stem { 1 } else { block }
    }
}

/// A convolution's sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Channels a block, 8 or 16.
    pub block: usize,
    /// How many results are made at once.
    pub tile: Tile,
    /// Pixels from one result to the next, 1 or 2, as the tile takes it.
    pub stride: usize,
    /// Channels of X, whole blocks but for [`Tile::Stem`].
    pub inputs: usize,
    /// Channels of Y, whole blocks.
    pub outputs: usize,
    /// Zeros around a picture: above, left of it, below, right of it; each at most [`Tile::most_pads`].
    pub pads: [usize; 4],
    /// Results below the first become it, those above the second that.
    pub range: [f32; 2],
}

/// The range of results that stay as they are.
pub const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// The range of a ReLU's results.
pub const RELU: [f32; 2] = [0.0, f32::INFINITY];

/// The pictures of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pictures {
    /// How many.
    pub count: usize,
    /// Pixels a column.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
}

impl Convolution {
    /// Height and width of the results; 0 where the filter doesn't fit.
    pub fn results(&self, pictures: Pictures) -> [usize; 2] {
        let [top, left, bottom, right] = self.pads;
        [pictures.height + top + bottom, pictures.width + left + right].map(|length| {
            let starts = (length + 1).saturating_sub(self.tile.filter_side());
            starts.div_ceil(self.stride)
        })
    }

    /// Tiles a column and a row of a picture.
    fn tiles(&self, pictures: Pictures) -> [usize; 2] {
        self.results(pictures).map(|length| length.div_ceil(self.tile.size()))
    }

    /// Numbers of the transformed filters.
    pub fn filters_len(&self) -> usize {
        self.tile.positions() * self.tile.planes(self.inputs) * self.outputs
    }
}

/// What a run reads and writes.
#[derive(Debug)]
pub struct Tensors<'a> {
    /// The pictures.
    pub x: &'a [f32],
    /// By [`transformed`].
    pub filters: &'a [f32],
    /// A number for each output.
    pub bias: &'a [f32],
    /// Is added, in the layout of Y.
    pub addend: Option<&'a [f32]>,
    /// The results.
    pub y: &'a mut [f32],
}

/// Convolves.
///
/// # Errors
/// [`ShapeError::Buffer`] when a tensor doesn't hold what the sizes ask for; Y is then untouched.
pub fn forward(
    set: InstructionSet,
    convolution: &Convolution,
    pictures: Pictures,
    tensors: Tensors<'_>,
    parallel: &dyn Parallel,
) -> Result<(), ShapeError> {
    let Tensors { x, filters, bias, addend, y } = tensors;
    let check = |input, expected, actual| {
        if actual == expected { Ok(()) } else { Err(ShapeError::Buffer { input, expected, actual }) }
    };
    let results = pictures.count * convolution.outputs * convolution.results(pictures).iter().product::<usize>();
    check("X", pictures.count * convolution.inputs * pictures.height * pictures.width, x.len())?;
    check("the filters", convolution.filters_len(), filters.len())?;
    check("the bias", convolution.outputs, bias.len())?;
    check("the addend", results, addend.map_or(results, <[f32]>::len))?;
    check("Y", results, y.len())?;
    let memory = Memory {
        x: x.as_ptr(),
        filters: filters.as_ptr(),
        bias: bias.as_ptr(),
        addend: addend.map_or(std::ptr::null(), <[f32]>::as_ptr),
        y: y.as_mut_ptr(),
    };
    // SAFETY: the slices hold what the sizes ask for, as just checked, and don't overlap
    unsafe { forward_raw(set, convolution, pictures, memory, parallel) };
    Ok(())
}

/// Where a run's tensors lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) x: *const f32,
    pub(crate) filters: *const f32,
    pub(crate) bias: *const f32,
    /// Null when nothing is added.
    pub(crate) addend: *const f32,
    pub(crate) y: *mut f32,
}

/// As [`forward`], on memory of somebody else's.
///
/// # Panics
/// When the blocks aren't of 8 or 16 channels, the channels aren't of whole blocks, the tile isn't for the stride, or there are more pads than it takes.
///
/// # Safety
/// For the length of the call, the numbers that the sizes ask for can be read at `x`, `filters`, `bias` and, where it isn't null, `addend`,
/// and written at `y`, and nobody else writes them. `y` is the same as `addend`, or overlaps none of the others.
pub(crate) unsafe fn forward_raw(
    set: InstructionSet,
    convolution: &Convolution,
    pictures: Pictures,
    memory: Memory,
    parallel: &dyn Parallel,
) {
    let Convolution { block, tile, stride, inputs, outputs, .. } = *convolution;
    assert!(tile.takes(stride), "the tile is for this stride");
    assert!(block == 8 || block == 16, "blocks are of 8 or 16 channels");
    let whole = inputs.is_multiple_of(tile.inputs_together(block)) && outputs.is_multiple_of(block);
    assert!(whole, "channels are of whole blocks");
    assert!(convolution.pads.iter().all(|&pad| pad <= tile.most_pads()), "no more pads than the filter reaches over");
    let tiles = pictures.count * convolution.tiles(pictures).iter().product::<usize>();
    if tiles == 0 {
        return;
    }
    let (threads, groups) = (parallel.threads().max(1), groups(outputs, block));
    // a stem's go through it by rows, a row at a time, and share what they read
    let (unit, parts) = if tile == Tile::Stem {
        (convolution.tiles(pictures)[1], 1)
    } else {
        let tile_bytes = tile.positions() * (inputs + outputs.min(widest_group(block))) * size_of::<f32>();
        (1, tiles.div_ceil((TASK_BYTES / tile_bytes).max(1)))
    };
    let units = tiles / unit;
    let (parts, shares) = if groups.is_multiple_of(threads) && tiles * FILTERS_TO_PIXELS <= outputs {
        (parts, threads)
    } else {
        (parts.next_multiple_of(threads).min(units), 1)
    };
    let kernel = kernels::of(set, block, tile);
    let batch = Batch { convolution, pictures, memory };
    let task = |task: usize| {
        let (share, part) = (task / parts, task % parts);
        let tiles = part * units / parts * unit..(part + 1) * units / parts * unit;
        let groups = share * groups / shares..(share + 1) * groups / shares;
        // SAFETY: the memory by the caller's word; tasks have tiles or outputs of their own
        with_tile_buffers(|buffers| unsafe { kernel(&batch, tiles, groups, buffers) });
    };
    phases::run(&[Phase { tasks: parts * shares, backwards: false, task: &task }], parallel);
}
