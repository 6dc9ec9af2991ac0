//! The inner loops in plain Rust, which say what the others compute.

use super::kernels::{Kernels, LANES, Run};
use super::mixing::Tile;

pub(super) const KERNELS: Kernels = Kernels { sums, dot, mix };

fn sums(run: &mut Run<'_>) {
    for pixel in run.x.chunks_exact(run.channels) {
        for ((&number, sum), square) in pixel.iter().zip(&mut *run.sums).zip(&mut *run.squares) {
            *sum += u32::from(number);
            *square += u32::from(number) * u32::from(number);
        }
    }
}

fn dot(weights: &[i16], input: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (weights, input) in weights.chunks(LANES).zip(input.chunks(LANES)) {
        for ((sum, &weight), value) in sums.iter_mut().zip(weights).zip(input) {
            *sum += f32::from(weight) * value;
        }
    }
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            sums[lane] += sums[lane + count];
        }
    }
    sums[0]
}

/// # Safety
/// As [`Tile`] says.
unsafe fn mix(tile: &Tile<'_>) {
    for pixel in 0..tile.pixels {
        // SAFETY: the caller vouches for the bytes of each pixel
        let input = unsafe { std::slice::from_raw_parts(tile.input.add(pixel * tile.input_stride), tile.depth) };
        // all are read before any is written: Y may lie over X
        let integers = products(tile, input);
        for (row, (&integer, scale)) in integers.iter().zip(tile.scale).enumerate().take(tile.rows) {
            let at = pixel * tile.stride + row;
            let mut real = integer as f32 * scale;
            if !tile.residual.is_null() {
                // SAFETY: as above
                real += f32::from(unsafe { tile.residual.add(at).read() }) * tile.residual_scale;
            }
            real = (real + tile.offset).max(tile.low).min(255.0);
            // SAFETY: as above
            unsafe { tile.output.add(at).write(real.round_ties_even() as u8) };
        }
    }
}

fn products(tile: &Tile<'_>, input: &[u8]) -> [i32; 16] {
    let mut sums = *tile.start;
    for (line, pair) in tile.weights.iter().zip(input.chunks_exact(2)) {
        let (line, _) = line.0.as_chunks::<4>();
        for (sum, &[a, b, c, d]) in sums.iter_mut().zip(line) {
            let first = i32::from(i16::from_ne_bytes([a, b])) * i32::from(pair[0]);
            let second = i32::from(i16::from_ne_bytes([c, d])) * i32::from(pair[1]);
            *sum = sum.wrapping_add(first).wrapping_add(second);
        }
    }
    sums
}
