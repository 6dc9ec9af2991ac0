//! The gate from exact sums: variance, two small layers, in an order that no instruction set changes.

/// Partial sums of a scalar product.
const LANES: usize = 32;

/// Scalar product of two slices of one length. Compiled for an instruction set, the compiler fills its registers with the partial
/// sums.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            sums[lane] += sums[lane + count];
        }
    }
    sums[0] + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Unbiased variance of `count` numbers, at least two, from their sum and sum of squares.
pub(super) fn variance(count: usize, sum: u64, squares: u64, scale: f32) -> f32 {
    let count = count as u128;
    let spread = count * u128::from(squares) - u128::from(sum) * u128::from(sum);
    let scale = f64::from(scale);
    (spread as f64 / (count * (count - 1)) as f64 * scale * scale) as f32
}
