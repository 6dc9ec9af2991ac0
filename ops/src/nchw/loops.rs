//! The inner loops, written once over [`Vector`]. Each is inlined into a function compiled for one instruction set.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]

use super::vector::Vector;

/// Vectors that a sum runs over side by side, so that one addition needn't wait for the last.
const SUM_WAYS: usize = 4;

/// Unbiased variance of at least two numbers, in two passes; the second corrects what the first's mean rounds off.
///
/// # Safety
/// The machine has `V`'s instructions.
#[inline(always)]
pub(super) unsafe fn variance<V: Vector>(values: &[f32]) -> f32 {
    let count = values.len() as f32;
    // SAFETY (all blocks of this file): `V`'s instructions are there by the caller's word; every load and store is
    // inside the slice by the loop bounds beside it.
    let mean = unsafe { sum_map::<V>(values, |vector| vector, |value| value) } / count;
    let center = unsafe { V::splat(mean) };
    let deviation = unsafe { sum_map::<V>(values, |vector| vector.sub(center), |value| value - mean) };
    let squares = unsafe {
        sum_map::<V>(
            values,
            |vector| {
                let off = vector.sub(center);
                off.mul(off)
            },
            |value| (value - mean) * (value - mean),
        )
    };
    (squares - deviation * deviation / count) / (count - 1.0)
}

/// Sum of `vector_map` (or, for the last few numbers, `map`) over `values`.
#[inline(always)]
unsafe fn sum_map<V: Vector>(values: &[f32], vector_map: impl Fn(V) -> V, map: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [unsafe { V::splat(0.0) }; SUM_WAYS];
    let mut at = 0;
    while at + SUM_WAYS * V::LANES <= values.len() {
        for (way, sum) in sums.iter_mut().enumerate() {
            *sum = unsafe { sum.add(vector_map(V::load(values.as_ptr().add(at + way * V::LANES)))) };
        }
        at += SUM_WAYS * V::LANES;
    }
    while at + V::LANES <= values.len() {
        sums[0] = unsafe { sums[0].add(vector_map(V::load(values.as_ptr().add(at)))) };
        at += V::LANES;
    }
    let rest: f32 = values[at..].iter().map(|&value| map(value)).sum();
    rest + unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() }
}

/// Scalar product of two slices of one length.
///
/// # Safety
/// The machine has `V`'s instructions.
#[inline(always)]
pub(super) unsafe fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    let len = a.len().min(b.len());
    let mut sums = [unsafe { V::splat(0.0) }; SUM_WAYS];
    let mut at = 0;
    while at + SUM_WAYS * V::LANES <= len {
        for (way, sum) in sums.iter_mut().enumerate() {
            let from = at + way * V::LANES;
            *sum = unsafe { V::load(a.as_ptr().add(from)).mul_add(V::load(b.as_ptr().add(from)), *sum) };
        }
        at += SUM_WAYS * V::LANES;
    }
    while at + V::LANES <= len {
        sums[0] = unsafe { V::load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), sums[0]) };
        at += V::LANES;
    }
    let rest: f32 = a[at..len].iter().zip(&b[at..len]).map(|(a, b)| a * b).sum();
    rest + unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() }
}

/// One group of channels: `y[c] = sum over k of matrix[c][k] * x[k] + scale[c] * x[c]`, for every pixel.
///
/// `x` and `y` are `[d, pixels]`, `matrix` is `[d, d]`, `scale` is `[d]`.
pub(super) struct Group<'a> {
    pub(super) x: &'a [f32],
    pub(super) matrix: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) pixels: usize,
}

/// # Safety
/// The machine has `V`'s instructions.
///
/// # Panics
/// When the slices aren't of the lengths that `scale` and `pixels` ask for.
#[inline(always)]
pub(super) unsafe fn mix<V: Vector>(group: &mut Group<'_>) {
    let (width, pixels) = (group.scale.len(), group.pixels);
    assert!(group.x.len() == width * pixels && group.y.len() == width * pixels && group.matrix.len() == width * width);
    if pixels < V::LANES {
        return mix_scalar(group);
    }
    let mut pixel = 0;
    while pixel + 2 * V::LANES <= pixels {
        unsafe { mix_columns::<V, 2>(group, pixel) };
        pixel += 2 * V::LANES;
    }
    while pixel < pixels {
        // the last vector reaches back over pixels already done, and computes the same for them once more
        unsafe { mix_columns::<V, 1>(group, pixel.min(pixels - V::LANES)) };
        pixel += V::LANES;
    }
}

/// All rows for `COLUMNS` vectors of pixels from `pixel` on, eight rows at a time as long as there are so many.
#[inline(always)]
unsafe fn mix_columns<V: Vector, const COLUMNS: usize>(group: &mut Group<'_>, pixel: usize) {
    let width = group.scale.len();
    let mut row = 0;
    while row + 8 <= width {
        unsafe { mix_tile::<V, 8, COLUMNS>(group, row, pixel) };
        row += 8;
    }
    if row + 4 <= width {
        unsafe { mix_tile::<V, 4, COLUMNS>(group, row, pixel) };
        row += 4;
    }
    while row < width {
        unsafe { mix_tile::<V, 1, COLUMNS>(group, row, pixel) };
        row += 1;
    }
}

/// `ROWS` rows for `COLUMNS` vectors of pixels, held in registers while it runs over the group's channels.
#[inline(always)]
unsafe fn mix_tile<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    group: &mut Group<'_>,
    row: usize,
    pixel: usize,
) {
    let (width, pixels) = (group.scale.len(), group.pixels);
    debug_assert!(row + ROWS <= width && pixel + COLUMNS * V::LANES <= pixels);
    let (x, matrix, y) = (group.x.as_ptr(), group.matrix.as_ptr(), group.y.as_mut_ptr());
    unsafe {
        let mut tile = [[V::splat(0.0); COLUMNS]; ROWS];
        for (r, sums) in tile.iter_mut().enumerate() {
            let scale = V::splat(*group.scale.get_unchecked(row + r));
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(x.add((row + r) * pixels + pixel + c * V::LANES)).mul(scale);
            }
        }
        for k in 0..width {
            let channel: [V; COLUMNS] = std::array::from_fn(|c| V::load(x.add(k * pixels + pixel + c * V::LANES)));
            for (r, sums) in tile.iter_mut().enumerate() {
                let weight = V::splat(*matrix.add((row + r) * width + k));
                for (sum, values) in sums.iter_mut().zip(channel) {
                    *sum = values.mul_add(weight, *sum);
                }
            }
        }
        for (r, sums) in tile.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                sum.store(y.add((row + r) * pixels + pixel + c * V::LANES));
            }
        }
    }
}

/// For pictures of fewer pixels than a vector holds.
fn mix_scalar(group: &mut Group<'_>) {
    let (width, pixels) = (group.scale.len(), group.pixels);
    for (row, y) in group.y.chunks_exact_mut(pixels).enumerate() {
        let weights = &group.matrix[row * width..][..width];
        for (pixel, y) in y.iter_mut().enumerate() {
            let own = group.scale[row] * group.x[row * pixels + pixel];
            *y = weights.iter().enumerate().map(|(k, weight)| weight * group.x[k * pixels + pixel]).sum::<f32>() + own;
        }
    }
}
