//! The mixing of channels into one block: a matrix times pixels, with what the graph adds and cuts off afterwards.

use crate::vector::Vector;

/// Pixels to mix, and what to mix them with. B is the width of a block.
pub(super) struct Block<'a> {
    /// `[K][B]`: the weights of each channel that is read, for each channel that is written.
    pub(super) matrix: &'a [f32],
    /// The block in which the first of the K channels lies, from its first pixel to mix on: `[count][B]`.
    pub(super) input: *const f32,
    /// The place of that channel within its block.
    pub(super) first: usize,
    /// Distance to the same pixel of the next block of the input, in numbers.
    pub(super) input_stride: usize,
    /// Pixels to mix.
    pub(super) count: usize,
    /// What is added to the result, `[count][B]`, or null.
    pub(super) addend: *const f32,
    /// Whether what is below zero becomes zero.
    pub(super) relu: bool,
    /// `[count][B]`: where the result goes.
    pub(super) output: *mut f32,
}

/// Mixes `PIXELS` at a time. B is `REGISTERS * LANES`.
///
/// # Safety
/// The machine has `V`'s instructions. The K channels can be read at `input` and after, `count` blocks of B numbers at `addend` where
/// it isn't null, and written at `output`. The output doesn't overlap the input, or is the one block of it that is read.
#[inline(always)]
pub(super) unsafe fn mix<V: Vector, const REGISTERS: usize, const PIXELS: usize>(block: &Block<'_>) {
    let mut at = 0;
    // SAFETY: the caller vouches for `count` pixels; a tile ends at or before them
    unsafe {
        while at + PIXELS <= block.count {
            tile::<V, REGISTERS, PIXELS>(block, at);
            at += PIXELS;
        }
        while at + 4 <= block.count {
            tile::<V, REGISTERS, 4>(block, at);
            at += 4;
        }
        while at < block.count {
            tile::<V, REGISTERS, 1>(block, at);
            at += 1;
        }
    }
}

/// `PIXELS` pixels from `at` on. All of them are read before any is written.
#[inline(always)]
unsafe fn tile<V: Vector, const REGISTERS: usize, const PIXELS: usize>(block: &Block<'_>, at: usize) {
    let width = REGISTERS * V::LANES;
    // SAFETY: as for `mix`
    unsafe {
        let mut sums = addends::<V, REGISTERS, PIXELS>(block, at);
        let mut input = block.input.add(at * width);
        let mut lane = block.first;
        for weights in block.matrix.chunks_exact(width) {
            if lane == width {
                (lane, input) = (0, input.add(block.input_stride));
            }
            let weights: [V; REGISTERS] = std::array::from_fn(|index| V::load(weights.as_ptr().add(index * V::LANES)));
            for (pixel, registers) in sums.iter_mut().enumerate() {
                let value = V::splat(*input.add(pixel * width + lane));
                for (sum, weights) in registers.iter_mut().zip(weights) {
                    *sum = weights.mul_add(value, *sum);
                }
            }
            lane += 1;
        }
        let output = block.output.add(at * width);
        for (pixel, registers) in sums.iter().enumerate() {
            for (index, sum) in registers.iter().enumerate() {
                let value = if block.relu { sum.relu() } else { *sum };
                value.store(output.add(pixel * width + index * V::LANES));
            }
        }
    }
}

#[inline(always)]
unsafe fn addends<V: Vector, const REGISTERS: usize, const PIXELS: usize>(
    block: &Block<'_>,
    at: usize,
) -> [[V; REGISTERS]; PIXELS] {
    let width = REGISTERS * V::LANES;
    std::array::from_fn(|pixel| {
        std::array::from_fn(|index| {
            // SAFETY: as for `mix`
            unsafe {
                if block.addend.is_null() {
                    V::splat(0.0)
                } else {
                    V::load(block.addend.add((at + pixel) * width + index * V::LANES))
                }
            }
        })
    })
}
