//! The variance of a block's channels, in one pass over its pixels.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]

use super::MAX_BLOCK;
use crate::vector::Vector;

/// Pixels summed in single precision before the sums move to double, so that the error doesn't grow with the picture.
pub(super) const RUN: usize = 1024;

/// Pixels, spread over the picture, whose mean is subtracted from all: a mean far from zero then costs no precision. With `n` pixels in all,
/// what is left of the mean is at most `sqrt(n / SAMPLES)` standard deviations, whatever the picture.
const SAMPLES: usize = 16;

/// Partial sums of one kind kept at once, to hide the latency of addition.
const CHAINS: usize = 4;

/// Count, mean and sum of squared differences from the mean of some numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of `count` numbers, at least one, whose differences from `centre` have this sum and this sum of squares.
    pub(super) fn around(centre: f64, count: usize, sum: f64, squares: f64) -> Self {
        let count = count as f64;
        Self { count, mean: centre + sum / count, squares: squares - sum * sum / count }
    }

    /// Of these numbers and `others`, one at least in all (Chan, Golub, LeVeque 1983).
    pub(super) fn and(self, others: Self) -> Self {
        let (count, apart) = (self.count + others.count, others.mean - self.mean);
        Self {
            count,
            mean: self.mean + apart * others.count / count,
            squares: self.squares + others.squares + apart * apart * self.count * others.count / count,
        }
    }

    /// Of at least two numbers.
    pub(super) fn unbiased_variance(self) -> f64 {
        self.squares / (self.count - 1.0)
    }
}

/// Unbiased variance of each channel of a block, `[count][B]` numbers at `pixels`, B being `REGISTERS * LANES`.
///
/// # Safety
/// The processor has `V`'s instruction set; `count * B` numbers can be read at `pixels`, and `count` is at least 2.
///
/// # Panics
/// When `variances` doesn't hold B numbers.
#[inline(always)]
pub(super) unsafe fn variances<V: Vector, const REGISTERS: usize>(
    pixels: *const f32,
    count: usize,
    variances: &mut [f32],
) {
    let block = REGISTERS * V::LANES;
    assert!(variances.len() == block);
    let (mut first, mut second) = ([0.0_f64; MAX_BLOCK], [0.0_f64; MAX_BLOCK]);
    unsafe {
        let centre = rough_mean::<V, REGISTERS>(pixels, count);
        for start in (0..count).step_by(RUN) {
            let length = RUN.min(count - start);
            let (sums, squares) = deviations::<V, REGISTERS>(pixels.add(start * block), length, &centre);
            add(&sums, &mut first);
            add(&squares, &mut second);
        }
    }
    let count = count as f64;
    for (variance, (first, second)) in variances.iter_mut().zip(first.iter().zip(&second)) {
        *variance = ((second - first * first / count) / (count - 1.0)) as f32;
    }
}

/// The mean of some pixels.
#[inline(always)]
unsafe fn rough_mean<V: Vector, const REGISTERS: usize>(pixels: *const f32, count: usize) -> [V; REGISTERS] {
    let samples = SAMPLES.min(count);
    let stride = count / samples;
    unsafe {
        let (share, zero) = (V::splat(1.0 / samples as f32), V::splat(0.0));
        let mut mean = [zero; REGISTERS];
        for sample in 0..samples {
            let pixel = load::<V, REGISTERS>(pixels.add(sample * stride * REGISTERS * V::LANES));
            for (sum, value) in mean.iter_mut().zip(pixel) {
                *sum = value.mul_add(share, *sum);
            }
        }
        mean
    }
}

/// Sums of `value - centre` and of its square over `count` pixels.
#[inline(always)]
unsafe fn deviations<V: Vector, const REGISTERS: usize>(
    pixels: *const f32,
    count: usize,
    centre: &[V; REGISTERS],
) -> ([V; REGISTERS], [V; REGISTERS]) {
    unsafe {
        let zero = [[V::splat(0.0); REGISTERS]; CHAINS];
        let (mut sums, mut squares) = (zero, zero);
        let mut at = pixels;
        for _ in 0..count / CHAINS {
            for chain in 0..CHAINS {
                accumulate(at, centre, &mut sums[chain], &mut squares[chain]);
                at = at.add(REGISTERS * V::LANES);
            }
        }
        for _ in 0..count % CHAINS {
            accumulate(at, centre, &mut sums[0], &mut squares[0]);
            at = at.add(REGISTERS * V::LANES);
        }
        (total(sums), total(squares))
    }
}

#[inline(always)]
unsafe fn accumulate<V: Vector, const REGISTERS: usize>(
    pixel: *const f32,
    centre: &[V; REGISTERS],
    sums: &mut [V; REGISTERS],
    squares: &mut [V; REGISTERS],
) {
    unsafe {
        let pixel = load::<V, REGISTERS>(pixel);
        for register in 0..REGISTERS {
            let deviation = pixel[register].sub(centre[register]);
            sums[register] = sums[register].add(deviation);
            squares[register] = deviation.mul_add(deviation, squares[register]);
        }
    }
}

#[inline(always)]
unsafe fn load<V: Vector, const REGISTERS: usize>(from: *const f32) -> [V; REGISTERS] {
    std::array::from_fn(|register| unsafe { V::load(from.add(register * V::LANES)) })
}

#[inline(always)]
unsafe fn total<V: Vector, const REGISTERS: usize>(sums: [[V; REGISTERS]; CHAINS]) -> [V; REGISTERS] {
    std::array::from_fn(|register| unsafe {
        sums[0][register].add(sums[1][register]).add(sums[2][register].add(sums[3][register]))
    })
}

/// Adds a block's numbers to `totals`, in double precision.
#[inline(always)]
unsafe fn add<V: Vector, const REGISTERS: usize>(registers: &[V; REGISTERS], totals: &mut [f64; MAX_BLOCK]) {
    let mut numbers = [0.0_f32; MAX_BLOCK];
    for (register, numbers) in registers.iter().zip(numbers.chunks_exact_mut(V::LANES)) {
        unsafe { register.store(numbers.as_mut_ptr()) };
    }
    for (total, number) in totals.iter_mut().zip(numbers) {
        *total += f64::from(number);
    }
}
