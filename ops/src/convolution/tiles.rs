//! Some tiles' way through the convolution: pixels transformed, multiplied for each group of outputs, transformed back.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]
#![expect(
    clippy::needless_range_loop,
    reason = "a square is turned: plain loops stay in registers, where turning it by iterators went through memory"
)]

use std::ops::Range;

use super::transform::Transform;
use super::{Convolution, Memory, Pictures};
use crate::multiply::{Product, Sink, group, multiply};
use crate::scratch::TileBuffers;
use crate::vector::Vector;

/// Numbers between what belongs to one position and to the next, beyond what is used: distances that are powers of two would all fall to the
/// same places of a cache.
pub(super) const APART: usize = 16;

/// A batch and its place in memory.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) convolution: &'a Convolution,
    pub(super) pictures: Pictures,
    pub(super) memory: Memory,
}

// SAFETY: who makes it lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

/// Where a tile is.
pub(super) struct Place {
    pub(super) sample: usize,
    /// Its first result.
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Batch<'_> {
    pub(super) fn place(&self, tile: usize) -> Place {
        let size = self.convolution.tile.size();
        let [down, along] = self.convolution.tiles(self.pictures);
        let within = tile % (down * along);
        Place { sample: tile / (down * along), row: within / along * size, column: within % along * size }
    }
}

/// Where the sums of a position lie, `[tiles][width]`.
pub(super) struct Sums {
    pub(super) start: *mut f32,
    pub(super) width: usize,
}

impl<V: Vector> Sink<V> for Sums {
    #[inline(always)]
    unsafe fn take<const COLUMNS: usize, const COUNT: usize>(
        &mut self,
        first: usize,
        at: usize,
        sums: &[[V; COLUMNS]; COUNT],
    ) {
        for (tile, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                unsafe { sum.store(self.start.add((at + tile) * self.width + first + column * V::LANES)) };
            }
        }
    }
}

/// Computes the results of `tiles`, counted through the pictures, for some groups of outputs. B is `BLOCK`.
///
/// # Safety
/// The machine has `V`'s instructions; the memory is as [`super::forward_raw`] asks for, and nobody else writes these results.
#[inline(always)]
pub(super) unsafe fn run<V, X, const BLOCK: usize, const COLUMNS: usize, const IN: usize, const OUT: usize>(
    batch: &Batch<'_>,
    tiles: Range<usize>,
    groups: Range<usize>,
    buffers: &mut TileBuffers,
) where
    V: Vector,
    X: Transform<IN, OUT>,
{
    let inputs = batch.convolution.inputs;
    let (count, blocks) = (tiles.len(), inputs / BLOCK);
    let apart = inputs * count + APART;
    let pixels = buffers.pixels.take(IN * IN * apart).as_mut_ptr();
    unsafe {
        for (at, tile) in tiles.clone().enumerate() {
            let place = batch.place(tile);
            for index in 0..blocks {
                let target = pixels.add((index * count + at) * BLOCK);
                transform_pixels::<V, X, BLOCK, IN, OUT>(batch, &place, index, target, apart);
            }
        }
        for outputs in groups.map(|index| group(batch.convolution.outputs, BLOCK, index)) {
            let (first, width) = (outputs.start, outputs.len());
            let sums_apart = width * count + APART;
            let sums = buffers.sums.take(IN * IN * sums_apart).as_mut_ptr();
            for position in 0..IN * IN {
                let product = Product {
                    filters: batch.memory.filters.add((first * IN * IN + position * width) * inputs),
                    width,
                    outputs: [0, width],
                    pixels: pixels.add(position * apart),
                    pixels_apart: count * BLOCK,
                    blocks,
                    count,
                };
                multiply::<V, BLOCK, COLUMNS>(product, &mut Sums { start: sums.add(position * sums_apart), width });
            }
            for (at, tile) in tiles.clone().enumerate() {
                let place = batch.place(tile);
                for channel in outputs.clone().step_by(BLOCK) {
                    let sums = sums.add(at * width + channel - first);
                    transform_results::<V, X, BLOCK, IN, OUT>(batch, &place, channel, sums, sums_apart);
                }
            }
        }
    }
}

/// `B' d B` of a block of channels of a tile; each position goes to its place, `apart` numbers after the one before.
#[inline(always)]
unsafe fn transform_pixels<V, X, const BLOCK: usize, const IN: usize, const OUT: usize>(
    batch: &Batch<'_>,
    place: &Place,
    index: usize,
    target: *mut f32,
    apart: usize,
) where
    V: Vector,
    X: Transform<IN, OUT>,
{
    let Pictures { height, width, .. } = batch.pictures;
    let Convolution { stride, pads: [top, left, ..], .. } = *batch.convolution;
    let (row, column) = (place.row * stride, place.column * stride);
    let rows = inside(row, top, height, IN);
    let columns = inside(column, left, width, IN);
    let whole = rows.len() == IN && columns.len() == IN;
    let blocks = batch.convolution.inputs / BLOCK;
    unsafe {
        let plane = batch.memory.x.add((place.sample * blocks + index) * height * width * BLOCK);
        for register in 0..BLOCK / V::LANES {
            // of a tile at the border the start lies outside, and isn't read
            let start = plane.wrapping_offset(
                ((row.cast_signed() - top.cast_signed()) * width.cast_signed() + column.cast_signed()
                    - left.cast_signed())
                    * BLOCK.cast_signed(),
            );
            let start = start.wrapping_add(register * V::LANES);
            let mut lines = [[V::splat(0.0); IN]; IN];
            for column in 0..IN {
                let mut line = [V::splat(0.0); IN];
                for (row, pixel) in line.iter_mut().enumerate() {
                    if whole || (rows.contains(&row) && columns.contains(&column)) {
                        *pixel = V::load(start.wrapping_add((row * width + column) * BLOCK));
                    }
                }
                for (row, value) in X::pixels(line).into_iter().enumerate() {
                    lines[row][column] = value;
                }
            }
            for (row, line) in lines.into_iter().enumerate() {
                for (column, value) in X::pixels(line).into_iter().enumerate() {
                    value.store(target.add((row * IN + column) * apart + register * V::LANES));
                }
            }
        }
    }
}

/// Which of `count` neighbouring pixels, the first of them `pad` before `first`, lie within `length`.
#[inline(always)]
fn inside(first: usize, pad: usize, length: usize, count: usize) -> Range<usize> {
    pad.saturating_sub(first)..(length + pad).saturating_sub(first).min(count)
}

/// `A' m A` of a block of channels of a tile, with what is added and cut off afterwards, written as far as the picture goes. The positions' sums are `apart`.
///
/// # Safety
/// As of [`run`]; the sums can be read.
#[inline(always)]
pub(super) unsafe fn transform_results<V, X, const BLOCK: usize, const IN: usize, const OUT: usize>(
    batch: &Batch<'_>,
    place: &Place,
    channel: usize,
    sums: *const f32,
    apart: usize,
) where
    V: Vector,
    X: Transform<IN, OUT>,
{
    let Convolution { outputs, range: [low, high], .. } = *batch.convolution;
    let [height, width] = batch.convolution.results(batch.pictures);
    let Memory { bias, addend, y, .. } = batch.memory;
    let (rows, columns) = (OUT.min(height - place.row), OUT.min(width - place.column));
    let plane = (place.sample * outputs + channel) * height * width;
    let start = plane + (place.row * width + place.column) * BLOCK;
    unsafe {
        for register in 0..BLOCK / V::LANES {
            let lane = register * V::LANES;
            let mut lines = [[V::splat(0.0); IN]; OUT];
            for column in 0..IN {
                let line = std::array::from_fn(|row| V::load(sums.add((row * IN + column) * apart + lane)));
                for (row, value) in X::results(line).into_iter().enumerate() {
                    lines[row][column] = value;
                }
            }
            let bias = V::load(bias.add(channel + lane));
            for (row, line) in lines.into_iter().enumerate().take(rows) {
                for (column, value) in X::results(line).into_iter().enumerate().take(columns) {
                    let at = start + (row * width + column) * BLOCK + lane;
                    let mut value = value.add(bias);
                    if !addend.is_null() {
                        value = value.add(V::load(addend.add(at)));
                    }
                    value.clamp(V::splat(low), V::splat(high)).store(y.add(at));
                }
            }
        }
    }
}
