//! The mixing of a group's channels: its combined matrix, packed into panels, times blocks of pixels.
//!
//! The pixels of a wide group are first copied into a small contiguous buffer that stays in the first-level cache,
//! where rows of a large picture would evict each other. The output may lie over the input: of the pixels at hand all
//! rows are read before any is written, be it into the buffer or, in a group of one panel, into the registers.

use crate::vector::Vector;

/// Bytes of the pixel buffer, about half a first-level cache.
const BLOCK_BYTES: usize = 16 * 1024;

/// One block of pixels of one group, and what to mix it with.
pub(super) struct Block<'a> {
    /// The combined matrix in panels of `rows` rows: `[ceil(width / rows)][width][rows]`, the last panel filled up with
    /// zeros.
    pub(super) panels: &'a [f32],
    /// Channels in the group, `d`.
    pub(super) width: usize,
    /// The first row of pixels.
    pub(super) input: *const f32,
    /// Distance between rows of the input, in numbers.
    pub(super) input_stride: usize,
    /// Pixels to mix in each row.
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
    panels[width / rows * rows * width..].fill(0.0);
    for (row, (entries, own)) in whitening.chunks_exact(width).zip(diagonal).enumerate() {
        let panel = &mut panels[row / rows * rows * width..][..rows * width];
        for (packed, entry) in panel.iter_mut().skip(row % rows).step_by(rows).zip(entries) {
            *packed = *entry;
        }
        panel[row * rows + row % rows] += own;
    }
}

/// Mixes a block, `ROWS` rows by `REGISTERS` registers of pixels at a time.
///
/// # Safety The machine has `V`'s instructions. `width` rows of `count` numbers may be read at `input`, `input_stride`
/// apart, and written at `output`, `output_stride` apart. The two don't overlap, unless `width` is at most `ROWS` and
/// they are the same.
#[inline(always)]
pub(super) unsafe fn mix<V: Vector, const ROWS: usize, const REGISTERS: usize>(block: &Block<'_>) {
    assert!(block.panels.len() >= panels_len(block.width, ROWS));
    let mut at = 0;
    // SAFETY: the caller vouches for the rows; a tile ends at or before `count`
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
        // SAFETY: `mix`'s caller vouches for the rows below `width`
        unsafe {
            let sums = tile::<V, ROWS, REGISTERS>(block, first, at, |from| V::load(from));
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
    let count = block.count - at;
    for first in (0..block.width).step_by(ROWS) {
        // SAFETY: as in `column`; no more than the pixels that are left are read and written
        unsafe {
            let sums = tile::<V, ROWS, 1>(block, first, at, |from| V::load_first(from, count));
            for (offset, [register]) in sums.iter().enumerate() {
                if first + offset < block.width {
                    register.store_first(block.output.add((first + offset) * block.output_stride + at), count);
                }
            }
        }
    }
}

/// `ROWS` rows of the product, from row `first` and pixel `at` on, in registers; `load` reads one register of pixels.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const REGISTERS: usize>(
    block: &Block<'_>,
    first: usize,
    at: usize,
    load: impl Fn(*const f32) -> V,
) -> [[V; REGISTERS]; ROWS] {
    // SAFETY: panel `first / ROWS` starts at `first * width`, as `mix` has checked, and its caller vouches for the
    // pixels
    unsafe {
        let panel = block.panels.as_ptr().add(first * block.width);
        let pixels = block.input.add(at);
        let mut sums = [[V::splat(0.0); REGISTERS]; ROWS];
        for column in 0..block.width {
            let row = pixels.add(column * block.input_stride);
            let inputs: [V; REGISTERS] = std::array::from_fn(|index| load(row.add(index * V::LANES)));
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
