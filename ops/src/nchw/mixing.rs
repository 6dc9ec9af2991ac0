//! The mixing of a group's channels: its combined matrix, packed into panels, times blocks of pixels.
//!
//! A block's pixels are first copied into a small contiguous buffer that stays in the first-level cache, where rows of a large image would evict
//! each other. Because all rows of a block are read before any is written, the output may lie over the input.

use super::vector::Vector;

/// Bytes of the pixel buffer, about half a first-level cache.
const BLOCK_BYTES: usize = 16 * 1024;

/// One block of pixels of one group, and what to mix it with.
pub(super) struct Block<'a> {
    /// The combined matrix in panels of `rows` rows: `[ceil(width / rows)][width][rows]`, the last panel filled up with zeros.
    pub(super) panels: &'a [f32],
    /// Channels in the group, `d`.
    pub(super) width: usize,
    /// The packed pixels, `[width][stride]`.
    pub(super) pixels: &'a [f32],
    /// Pixels in a packed row, those to skip included.
    pub(super) stride: usize,
    /// Pixels of each row that count, at most `stride`.
    pub(super) count: usize,
    /// Where the block's first row goes.
    pub(super) output: *mut f32,
    /// Distance between rows of the output, in numbers.
    pub(super) output_stride: usize,
}

/// Pixels in a block: as many whole tiles as fit the buffer, at least one.
pub(super) fn block_pixels(width: usize, tile: usize) -> usize {
    (BLOCK_BYTES / size_of::<f32>() / (width * tile)).max(1) * tile
}

/// Numbers in the panels of a `width` by `width` matrix.
pub(super) fn panels_len(width: usize, rows: usize) -> usize {
    width.div_ceil(rows) * rows * width
}

/// Packs `whitening [d, d]` plus `diagonal [d]` into panels of `rows` rows.
pub(super) fn pack_matrix(whitening: &[f32], diagonal: &[f32], rows: usize, panels: &mut [f32]) {
    let width = diagonal.len();
    for (index, panel) in panels.chunks_exact_mut(rows * width).enumerate() {
        for (column, entries) in panel.chunks_exact_mut(rows).enumerate() {
            for (offset, entry) in entries.iter_mut().enumerate() {
                let row = index * rows + offset;
                *entry = match row {
                    row if row >= width => 0.0,
                    row if row == column => whitening[row * width + column] + diagonal[row],
                    row => whitening[row * width + column],
                };
            }
        }
    }
}

/// Mixes a block, `ROWS` rows by `REGISTERS` registers of pixels at a time.
///
/// # Safety
/// The processor has `V`'s instruction set, and `width` rows of `count` numbers may be written at `output`, `output_stride` apart.
#[inline(always)]
pub(super) unsafe fn mix<V: Vector, const ROWS: usize, const REGISTERS: usize>(block: &Block<'_>) {
    let needed = block.count.div_ceil(V::LANES) * V::LANES;
    assert!(needed <= block.stride && block.pixels.len() >= block.width * block.stride);
    assert!(block.panels.len() >= panels_len(block.width, ROWS));
    let mut at = 0;
    // SAFETY: the assertions bound every read, the caller vouches for the writes, and `at` plus a tile's pixels is at most `count`
    unsafe {
        while at + REGISTERS * V::LANES <= block.count {
            column::<V, ROWS, REGISTERS>(block, at);
            at += REGISTERS * V::LANES;
        }
        while at + V::LANES <= block.count {
            column::<V, ROWS, 1>(block, at);
            at += V::LANES;
        }
        if at < block.count {
            last_column::<V, ROWS>(block, at);
        }
    }
}

/// All rows of the pixels from `at` on, `REGISTERS` registers of them.
#[inline(always)]
unsafe fn column<V: Vector, const ROWS: usize, const REGISTERS: usize>(block: &Block<'_>, at: usize) {
    for first in (0..block.width).step_by(ROWS) {
        // SAFETY: `mix` has checked the buffers, and its caller vouches for the output's rows below `width`
        unsafe {
            let sums = tile::<V, ROWS, REGISTERS>(block, first, at);
            for (offset, registers) in sums.iter().enumerate() {
                if first + offset < block.width {
                    let row = block.output.add((first + offset) * block.output_stride + at);
                    for (index, register) in registers.iter().enumerate() {
                        register.store(row.add(index * V::LANES));
                    }
                }
            }
        }
    }
}

/// All rows of the last pixels, fewer than a register.
#[inline(always)]
unsafe fn last_column<V: Vector, const ROWS: usize>(block: &Block<'_>, at: usize) {
    let mut lanes = [0.0_f32; 16];
    assert!(V::LANES <= lanes.len());
    for first in (0..block.width).step_by(ROWS) {
        // SAFETY: as in `column`; no more than the pixels that are left are copied
        unsafe {
            let sums = tile::<V, ROWS, 1>(block, first, at);
            for (offset, [register]) in sums.iter().enumerate() {
                if first + offset < block.width {
                    register.store(lanes.as_mut_ptr());
                    let row = block.output.add((first + offset) * block.output_stride + at);
                    row.copy_from_nonoverlapping(lanes.as_ptr(), block.count - at);
                }
            }
        }
    }
}

/// `ROWS` rows of the product, from row `first` and pixel `at` on, in registers.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const REGISTERS: usize>(
    block: &Block<'_>,
    first: usize,
    at: usize,
) -> [[V; REGISTERS]; ROWS] {
    // SAFETY: panel `first / ROWS` starts at `first * width`; `mix` has checked that panels and pixels reach this far
    unsafe {
        let panel = block.panels.as_ptr().add(first * block.width);
        let pixels = block.pixels.as_ptr().add(at);
        let mut sums = [[V::splat(0.0); REGISTERS]; ROWS];
        for column in 0..block.width {
            let mut inputs = [V::splat(0.0); REGISTERS];
            for (index, input) in inputs.iter_mut().enumerate() {
                *input = V::load(pixels.add(column * block.stride + index * V::LANES));
            }
            for (row, registers) in sums.iter_mut().enumerate() {
                let entry = V::splat(*panel.add(column * ROWS + row));
                for (register, input) in registers.iter_mut().zip(inputs) {
                    *register = entry.mul_add(input, *register);
                }
            }
        }
        sums
    }
}
