//! The sums: variance and scalar product, written once over [`Vector`].

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]

use crate::vector::Vector;

/// Numbers summed in single precision before the sum moves to double, so that the error doesn't grow with the picture.
const RUN: usize = 4096;

/// Partial sums kept at once, to hide the latency of addition.
const CHAINS: usize = 4;

/// Unbiased variance of at least two numbers, in two passes: a large mean costs no precision.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn variance<V: Vector>(channel: &[f32]) -> f32 {
    let count = channel.len() as f64;
    // SAFETY: the caller vouches for the instruction set; so below
    let total: f64 = channel.chunks(RUN).map(|run| unsafe { sum::<V>(run) }).sum();
    let mean = (total / count) as f32;
    let (mut first, mut second) = (0.0, 0.0);
    for run in channel.chunks(RUN) {
        let (deviations, squares) = unsafe { deviations::<V>(run, mean) };
        first += deviations;
        second += squares;
    }
    // `first` would be 0 if `mean` were exact: what rounding left in it is taken out here
    ((second - first * first / count) / (count - 1.0)) as f32
}

/// Dot product of two slices of the same length.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: by the caller's word
    unsafe { dot_of::<V, f32>(a, b, |from| V::load(from), |number| number) }
}

/// Dot product of whole numbers and others, as many.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn dot_whole<V: Vector>(a: &[i16], b: &[f32]) -> f32 {
    // SAFETY: by the caller's word
    unsafe { dot_of::<V, i16>(a, b, |from| V::load_whole(from), f32::from) }
}

/// `load` reads a register of the first, `number` one of its numbers.
#[inline(always)]
unsafe fn dot_of<V: Vector, T: Copy>(
    a: &[T],
    b: &[f32],
    load: impl Fn(*const T) -> V,
    number: impl Fn(T) -> f32,
) -> f32 {
    assert_eq!(a.len(), b.len());
    let vectors = a.len() / V::LANES;
    // SAFETY: every load ends at or before `vectors * LANES`, within both slices
    let whole = unsafe {
        let mut sums = [V::splat(0.0); CHAINS];
        let mut index = 0;
        while index + CHAINS <= vectors {
            for (chain, sum) in sums.iter_mut().enumerate() {
                let at = (index + chain) * V::LANES;
                *sum = load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), *sum);
            }
            index += CHAINS;
        }
        while index < vectors {
            let at = index * V::LANES;
            sums[0] = load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), sums[0]);
            index += 1;
        }
        total(sums)
    };
    let rest = vectors * V::LANES;
    whole + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| number(*a) * b).sum::<f32>()
}

/// Sum of `run`.
#[inline(always)]
unsafe fn sum<V: Vector>(run: &[f32]) -> f64 {
    let step = CHAINS * V::LANES;
    let whole = run.len() / step * step;
    // SAFETY: every load ends at or before `whole`, within the slice
    let vectors = unsafe {
        let mut sums = [V::splat(0.0); CHAINS];
        for at in (0..whole).step_by(step) {
            for (chain, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::load(run.as_ptr().add(at + chain * V::LANES)));
            }
        }
        total(sums)
    };
    f64::from(vectors) + run[whole..].iter().copied().map(f64::from).sum::<f64>()
}

/// Sums of `value - mean` and of its square over `run`.
#[inline(always)]
unsafe fn deviations<V: Vector>(run: &[f32], mean: f32) -> (f64, f64) {
    let step = CHAINS * V::LANES;
    let whole = run.len() / step * step;
    // SAFETY: every load ends at or before `whole`, within the slice
    let (first, second) = unsafe {
        let center = V::splat(mean);
        let (mut sums, mut squares) = ([V::splat(0.0); CHAINS], [V::splat(0.0); CHAINS]);
        for at in (0..whole).step_by(step) {
            for (chain, (sum, square)) in sums.iter_mut().zip(&mut squares).enumerate() {
                let deviation = V::load(run.as_ptr().add(at + chain * V::LANES)).sub(center);
                *sum = sum.add(deviation);
                *square = deviation.mul_add(deviation, *square);
            }
        }
        (total(sums), total(squares))
    };
    let rest = run[whole..].iter().map(|&value| f64::from(value - mean));
    rest.fold((f64::from(first), f64::from(second)), |(sum, square), deviation| {
        (sum + deviation, square + deviation * deviation)
    })
}

#[inline(always)]
unsafe fn total<V: Vector>(sums: [V; CHAINS]) -> f32 {
    // SAFETY: the caller vouches for the instruction set
    unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() }
}
