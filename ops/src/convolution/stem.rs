//! The convolution that most networks begin with: 7x7 filters at strides of 2 on pictures of few channels, which lie in rows.
//!
//! Of a picture's rows, and of its columns, a result needs 4 even and 3 odd ones. Even and odd ones apart, the convolution is one of 4x4 filters
//! at strides of 1 on four times as many channels, its planes, and that is Winograd's F(4x4, 4x4).

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]

use std::ops::Range;

use super::tiles::{APART, Batch, Place, Sums, transform_results};
use super::transform::{Stem, Transform};
use super::{Convolution, PHASES, Pictures};
use crate::multiply::{Product, group, multiply};
use crate::scratch::{Buffer, TileBuffers};
use crate::vector::{Vector, prefetch_share};

/// Results a side of a tile.
const OUT: usize = 4;
/// Even pixels a side of a tile, and odd ones; as many products are taken.
const IN: usize = 7;
/// Pixels from one tile to the next. A tile is made of two bands of so many rows.
const STEP: usize = 2 * OUT;

/// Positions whose products are taken.
const POSITIONS: usize = IN * IN;

/// Computes the results of `tiles`, counted through the pictures, for some groups of outputs. B is `BLOCK`.
///
/// # Safety
/// As of [`super::tiles::run`].
///
/// # Panics
/// When the tiles aren't of whole rows.
#[inline(always)]
pub(super) unsafe fn run<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    batch: &Batch<'_>,
    tiles: Range<usize>,
    groups: Range<usize>,
    buffers: &mut TileBuffers,
) {
    let [down, along] = batch.convolution.tiles(batch.pictures);
    assert!(tiles.start.is_multiple_of(along) && tiles.end.is_multiple_of(along), "whole rows");
    let mut rows = Rows::new::<V>(batch.convolution.inputs, along, &mut buffers.pixels);
    for row in tiles.start / along..tiles.end / along {
        let (sample, band) = (row / down, row % down);
        unsafe {
            // a tile is made of two bands, of which the row above had the first
            if row * along == tiles.start || band == 0 {
                rows.read(batch, sample, band);
            }
            rows.read(batch, sample, band + 1);
            rows.transform::<V>(band);
            for index in groups.clone() {
                let outputs = group(batch.convolution.outputs, BLOCK, index);
                results::<V, BLOCK, COLUMNS>(batch, &rows, row * along, outputs, &mut buffers.sums);
            }
        }
    }
}

/// The results of a group of outputs of a row of tiles, whose pixels are transformed, from tile `start` on.
#[inline(always)]
unsafe fn results<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    batch: &Batch<'_>,
    rows: &Rows<'_>,
    start: usize,
    outputs: Range<usize>,
    sums: &mut Buffer,
) {
    let (width, planes, count) = (outputs.len(), PHASES * rows.inputs, rows.len - 1);
    let sums_apart = count * width + APART;
    let sums = sums.take(POSITIONS * sums_apart).as_mut_ptr();
    unsafe {
        for position in 0..POSITIONS {
            let place = batch.place(start);
            prefetch_results::<BLOCK>(batch, &place, &outputs, [position, POSITIONS]);
            prefetch_pixels(batch, &place, [position, POSITIONS]);
            let product = Product {
                filters: batch.memory.filters.add((outputs.start * POSITIONS + position * width) * planes),
                width,
                outputs: [0, width],
                pixels: rows.pixels.as_ptr().add(position * rows.apart),
                pixels_apart: rows.stride,
                blocks: planes,
                count,
            };
            multiply::<V, 1, COLUMNS>(product, &mut Sums { start: sums.add(position * sums_apart), width });
        }
        for channel in (0..width).step_by(BLOCK) {
            for tile in 0..count {
                let (place, sums) = (batch.place(start + tile), sums.add(tile * width + channel));
                transform_results::<V, Stem, BLOCK, IN, OUT>(batch, &place, outputs.start + channel, sums, sums_apart);
            }
        }
    }
}

/// Asks for a part of where the results of a row of tiles are to be.
#[inline(always)]
fn prefetch_results<const BLOCK: usize>(batch: &Batch<'_>, first: &Place, outputs: &Range<usize>, part: [usize; 2]) {
    let [height, width] = batch.convolution.results(batch.pictures);
    for channel in outputs.clone().step_by(BLOCK) {
        let plane = (first.sample * batch.convolution.outputs + channel) * height * width;
        let start = batch.memory.y.wrapping_add(plane + first.row * width * BLOCK);
        prefetch_share(start, OUT * width * BLOCK, part);
    }
}

/// Asks for a part of the band that the next row of tiles reads.
#[inline(always)]
fn prefetch_pixels(batch: &Batch<'_>, first: &Place, part: [usize; 2]) {
    let Pictures { height, width, .. } = batch.pictures;
    let row = (first.row / OUT + 2) * STEP;
    for input in 0..batch.convolution.inputs {
        let plane = (first.sample * batch.convolution.inputs + input) * height * width;
        let start = batch.memory.x.wrapping_add(plane + row.saturating_sub(batch.convolution.pads[0]) * width);
        prefetch_share(start, STEP * width, part);
    }
}

/// A row of tiles on its way. Tiles are neighbours in memory.
struct Rows<'a> {
    inputs: usize,
    /// Tiles, and one more: the last reaches over into where the next would begin.
    len: usize,
    /// The same, whole registers.
    stride: usize,
    /// Two bands, the even and the odd one, `[2][inputs][STEP][STEP][stride]`: pixels that are `STEP` apart in a picture are neighbours.
    bands: &'a mut [f32],
    /// Transformed down the columns, `[inputs][2][IN][STEP][stride]` of even and odd rows.
    columns: &'a mut [f32],
    /// Numbers between a position and the next of the results.
    apart: usize,
    /// Transformed along the rows, too, `[IN][IN]` positions of `[planes][stride]`.
    pixels: &'a mut [f32],
}

impl<'a> Rows<'a> {
    fn new<V: Vector>(inputs: usize, tiles: usize, buffer: &'a mut Buffer) -> Self {
        let len = tiles + 1;
        let stride = len.next_multiple_of(V::LANES);
        let apart = PHASES * inputs * stride + APART;
        let bands_len = 2 * inputs * STEP * STEP * stride;
        // where a register begins at the second tile it ends behind the last
        let columns_len = inputs * 2 * IN * STEP * stride + V::LANES;
        let (bands, rest) = buffer.take(bands_len + columns_len + IN * IN * apart).split_at_mut(bands_len);
        let (columns, pixels) = rest.split_at_mut(columns_len);
        Self { inputs, len, stride, bands, columns, apart, pixels }
    }

    /// Reads band `index` of a picture. What lies outside of it is zero.
    ///
    /// # Safety
    /// The pictures can be read.
    #[inline(always)]
    unsafe fn read(&mut self, batch: &Batch<'_>, sample: usize, index: usize) {
        let Pictures { height, width, .. } = batch.pictures;
        let Convolution { pads: [top, left, ..], .. } = *batch.convolution;
        let len = self.bands.len() / 2;
        let band = &mut self.bands[index % 2 * len..][..len];
        for (at, lines) in band.chunks_exact_mut(STEP * self.stride).enumerate() {
            let (input, row) = (at / STEP, index * STEP + at % STEP);
            if row < top || row >= height + top {
                lines.fill(0.0);
                continue;
            }
            let start = ((sample * self.inputs + input) * height + row - top) * width;
            let pixels = unsafe { std::slice::from_raw_parts(batch.memory.x.add(start), width) };
            for (column, line) in lines.chunks_exact_mut(self.stride).enumerate() {
                let within = |at: usize| (at + left).saturating_sub(column).div_ceil(STEP).min(self.len);
                let inside = within(0)..within(width);
                line[..inside.start].fill(0.0);
                line[inside.end..].fill(0.0);
                let from = pixels.iter().skip(column + inside.start * STEP - left).step_by(STEP);
                for (number, pixel) in line[inside].iter_mut().zip(from) {
                    *number = *pixel;
                }
            }
        }
    }

    /// Transforms the pixels of the tiles that begin with band `band`.
    ///
    /// # Safety
    /// The machine has `V`'s instructions.
    #[inline(always)]
    unsafe fn transform<V: Vector>(&mut self, band: usize) {
        let Self { inputs, stride, apart, .. } = *self;
        let (bands, columns, pixels) = (self.bands.as_ptr(), self.columns.as_mut_ptr(), self.pixels.as_mut_ptr());
        unsafe {
            for input in 0..inputs {
                for (phase, column) in pairs(2, STEP) {
                    let line = std::array::from_fn(|at| {
                        let row = 2 * at + phase;
                        let slot = (band + row / STEP) % 2;
                        bands.add((((slot * inputs + input) * STEP + row % STEP) * STEP + column) * stride)
                    });
                    let target = columns.add(((input * 2 + phase) * IN * STEP + column) * stride);
                    transform::<V>(line, target, STEP * stride, stride);
                }
                for (phases, row) in pairs(PHASES, IN) {
                    let line = std::array::from_fn(|at| {
                        let column = 2 * at + phases % 2;
                        let start = ((input * 2 + phases / 2) * IN + row) * STEP + column % STEP;
                        columns.add(start * stride + column / STEP).cast_const()
                    });
                    let target = pixels.add(row * IN * apart + (phases * inputs + input) * stride);
                    transform::<V>(line, target, apart, stride);
                }
            }
        }
    }
}

/// All of `0..a` with all of `0..b`.
fn pairs(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |first| (0..b).map(move |second| (first, second)))
}

/// Transforms `count` numbers of each line to `IN` lines at `target`, which are `apart`. Whole registers.
#[inline(always)]
unsafe fn transform<V: Vector>(lines: [*const f32; IN], target: *mut f32, apart: usize, count: usize) {
    unsafe {
        for at in (0..count).step_by(V::LANES) {
            let values = Stem::pixels(lines.map(|line| V::load(line.add(at))));
            for (index, value) in values.into_iter().enumerate() {
                value.store(target.add(index * apart + at));
            }
        }
    }
}
