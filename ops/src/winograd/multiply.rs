//! The products of one position: channels of tiles times the transformed filters of a group of outputs.

use std::ops::Range;

use crate::vector::{Vector, prefetch_line};

/// Tiles that are summed at once, at most.
const TILES: usize = 6;

/// What is multiplied. B is the width of a block.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// `[inputs][width]`
    pub(super) filters: *const f32,
    /// Outputs of the group.
    pub(super) width: usize,
    /// `[inputs / B][tiles][B]`
    pub(super) pixels: *const f32,
    pub(super) blocks: usize,
    pub(super) tiles: usize,
    /// `[tiles][width]`
    pub(super) sums: *mut f32,
}

/// Multiplies, `COLUMNS` registers of outputs at a time. B is `REGISTERS * LANES`.
///
/// # Safety
/// The machine has `V`'s instructions, and the numbers that `product` names can be read and written.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, const REGISTERS: usize, const COLUMNS: usize>(product: Product) {
    let mut first = 0;
    // SAFETY: columns end at the group's width, which is of whole registers
    unsafe {
        while first < product.width {
            let columns = ((product.width - first) / V::LANES).min(COLUMNS);
            match columns {
                4 if COLUMNS >= 4 => rows::<V, REGISTERS, 4>(product, first),
                3 if COLUMNS >= 3 => rows::<V, REGISTERS, 3>(product, first),
                2 if COLUMNS >= 2 => rows::<V, REGISTERS, 2>(product, first),
                _ => rows::<V, REGISTERS, 1>(product, first),
            }
            first += columns.max(1) * V::LANES;
        }
    }
}

/// All tiles, in steps of about one size. The filters that come next in memory are fetched meanwhile: they are used once, or once for all pictures,
/// and mostly come from memory.
#[inline(always)]
unsafe fn rows<V: Vector, const REGISTERS: usize, const COLUMNS: usize>(product: Product, first: usize) {
    let steps = product.tiles.div_ceil(TILES);
    // of the lines of a row of filters, so many in each step
    let lines = (COLUMNS / steps).max(1);
    let mut at = 0;
    // SAFETY: as of `multiply`; a step ends at or before the last tile
    unsafe {
        for step in 0..steps {
            let end = (step + 1) * product.tiles / steps;
            match end - at {
                6 => tile::<V, REGISTERS, COLUMNS, 6>(product, first, at, step * lines..(step + 1) * lines),
                5 => tile::<V, REGISTERS, COLUMNS, 5>(product, first, at, step * lines..(step + 1) * lines),
                4 => tile::<V, REGISTERS, COLUMNS, 4>(product, first, at, step * lines..(step + 1) * lines),
                3 => tile::<V, REGISTERS, COLUMNS, 3>(product, first, at, step * lines..(step + 1) * lines),
                2 => tile::<V, REGISTERS, COLUMNS, 2>(product, first, at, step * lines..(step + 1) * lines),
                _ => tile::<V, REGISTERS, COLUMNS, 1>(product, first, at, step * lines..(step + 1) * lines),
            }
            at = end;
        }
    }
}

/// `COUNT` tiles from `at` on, `COLUMNS` registers of outputs from `first` on.
#[inline(always)]
unsafe fn tile<V: Vector, const REGISTERS: usize, const COLUMNS: usize, const COUNT: usize>(
    product: Product,
    first: usize,
    at: usize,
    ahead: Range<usize>,
) {
    let block = REGISTERS * V::LANES;
    // SAFETY: as of `multiply`
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; COUNT];
        let mut filters = product.filters.add(first);
        let mut pixels = product.pixels.add(at * block);
        let next = product.width * block * product.blocks + ahead.start * V::LANES;
        for _ in 0..product.blocks {
            for lane in 0..block {
                let weights: [V; COLUMNS] = std::array::from_fn(|column| V::load(filters.add(column * V::LANES)));
                for line in 0..ahead.len() {
                    prefetch_line(filters.wrapping_add(next + line * V::LANES));
                }
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*pixels.add(tile * block + lane));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = weight.mul_add(value, *sum);
                    }
                }
                // the last step leads out of the numbers
                filters = filters.wrapping_add(product.width);
            }
            pixels = pixels.wrapping_add(product.tiles * block);
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                sum.store(product.sums.add((at + tile) * product.width + first + column * V::LANES));
            }
        }
    }
}
