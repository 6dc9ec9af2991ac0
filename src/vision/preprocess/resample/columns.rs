//! Weighted sums down the columns.

use fearless_simd::{Level, Simd, dispatch};

/// Columns whose sums stay in registers.
const AT_ONCE: usize = 32;

/// Adds to `sums` the first of `rows`, each as long as `sums`, as many as there are `weights`, and each times its weight.
pub(super) fn add(rows: &[u8], weights: &[i32], sums: &mut [i32]) {
    dispatch!(Level::new(), simd => add_with(simd, rows, weights, sums));
}

#[inline(always)]
fn add_with<S: Simd>(simd: S, rows: &[u8], weights: &[i32], sums: &mut [i32]) {
    simd.vectorize(
        #[inline(always)]
        || {
            let row_len = sums.len();
            let mut left = 0;
            let (chunks, rest) = sums.as_chunks_mut::<AT_ONCE>();
            for chunk in chunks {
                let mut sums = *chunk;
                for (row, weight) in rows.chunks_exact(row_len).zip(weights) {
                    add_row(&row[left..left + AT_ONCE], *weight, &mut sums);
                }
                *chunk = sums;
                left += AT_ONCE;
            }
            for (row, weight) in rows.chunks_exact(row_len).zip(weights) {
                add_row(&row[left..], *weight, rest);
            }
        },
    );
}

#[inline(always)]
fn add_row(values: &[u8], weight: i32, sums: &mut [i32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += i32::from(*value) * weight;
    }
}
