//! Weighted sums along the rows.
//!
//! A weight has more than 16 bits, and processors multiply 16 bits the fastest, two products added in one step. So each weight
//! is split into a high and a low part, which are summed apart and put together at the end: nothing is lost.

use std::borrow::Cow;
use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch, i16x16, i32x4, i32x8, prelude::*, u8x16};
use image::RgbImage;

use super::clip_all;
use super::weights::{HALF, Kernel};
use crate::vision::geometry::Axis;

/// Weights that are held at once: a wide picture's are computed a part at a time.
const MOST_WEIGHTS: usize = 1 << 18;
/// Rows that share the loading of the weights.
const ROWS: usize = 4;
/// Pixels that a step takes.
const PIXELS: usize = 4;
/// Bytes that a step loads: those of its pixels, and as many again as fill the register.
const LOADED: usize = 16;
/// Bits of a weight's low part.
const LOW_BITS: u32 = 11;

/// Two neighbouring pixels' values of a channel side by side, for the channels and a fourth place that isn't counted.
const PAIRS: [u8; LOADED] = [0, 3, 1, 4, 2, 5, 0, 0, 6, 9, 7, 10, 8, 11, 6, 6];
/// Which of a step's weights stands at each place of [`PAIRS`].
const WEIGHTS: [Option<usize>; LOADED] = {
    let (a, b, c, d) = (Some(0), Some(1), Some(2), Some(3));
    [a, b, a, b, a, b, None, None, c, d, c, d, c, d, None, None]
};

/// Resamples the `wanted` rows of `picture` along `axis` into `strip`, one after the other.
pub(super) fn resample(picture: &RgbImage, wanted: Range<usize>, axis: &Axis, kernel: Kernel, strip: &mut [u8]) {
    let (row_len, strip_len) = (3 * picture.width() as usize, 3 * axis.kept as usize);
    let at_once = (MOST_WEIGHTS / kernel.most_weights(axis)).max(1) as u32;
    for from in (0..axis.kept).step_by(at_once as usize) {
        let outputs = from..(from + at_once).min(axis.kept);
        let columns = 3 * outputs.start as usize..3 * outputs.end as usize;
        let taps = Taps::new(axis, kernel, outputs);
        for (group, lines) in strip.chunks_mut(ROWS * strip_len).enumerate() {
            let first = wanted.start + ROWS * group;
            let source = |row: usize| padded(picture, row * row_len, taps.reach);
            let mut lines: Vec<&mut [u8]> =
                lines.chunks_exact_mut(strip_len).map(|line| &mut line[columns.clone()]).collect();
            if let Ok(lines) = <&mut [&mut [u8]; ROWS]>::try_from(lines.as_mut_slice()) {
                let sources: [_; ROWS] = std::array::from_fn(|row| source(first + row));
                taps.apply(sources.each_ref().map(|source| &**source), lines);
            } else {
                for (row, line) in lines.into_iter().enumerate() {
                    taps.apply([&*source(first + row)], &mut [line]);
                }
            }
        }
    }
}

/// The bytes from `start` on, at least `length`; zeros follow where the picture ends.
fn padded(bytes: &[u8], start: usize, length: usize) -> Cow<'_, [u8]> {
    let rest = &bytes[start..];
    if rest.len() >= length {
        return Cow::Borrowed(rest);
    }
    let mut copy = rest.to_vec();
    copy.resize(length, 0);
    Cow::Owned(copy)
}

/// The weights of some pixels of the result, laid out for [`convolve`].
pub(super) struct Taps {
    /// A pixel's first byte in its row, for each pixel of the result.
    starts: Vec<usize>,
    /// Steps that each of them takes.
    steps: usize,
    /// The weights' upper parts, a step at a time.
    high: Vec<[i16; LOADED]>,
    /// The weights' lower parts.
    low: Vec<[i16; LOADED]>,
    /// Bytes of a row that are loaded; some beyond the row's end may be, and don't count.
    pub(super) reach: usize,
}

impl Taps {
    /// Those of the kept pixels `outputs` of `axis`.
    pub(super) fn new(axis: &Axis, kernel: Kernel, outputs: Range<u32>) -> Self {
        let windows: Vec<_> = outputs.map(|output| kernel.window(axis, output)).collect();
        let most = windows.iter().map(|window| window.weights.len()).max().unwrap_or(0);
        let starts: Vec<usize> = windows.iter().map(|window| 3 * window.first).collect();
        let steps = most.div_ceil(PIXELS);
        let reach = starts.iter().max().unwrap_or(&0) + steps * 3 * PIXELS + LOADED;
        let mut taps = Self { starts, steps, high: Vec::new(), low: Vec::new(), reach };
        for mut window in windows {
            window.weights.resize(steps * PIXELS, 0);
            for weights in window.weights.chunks_exact(PIXELS) {
                let placed = WEIGHTS.map(|at| at.map_or(0, |at| weights[at]));
                taps.high.push(placed.map(|weight| (weight >> LOW_BITS) as i16));
                taps.low.push(placed.map(|weight| (weight & ((1 << LOW_BITS) - 1)) as i16));
            }
        }
        taps
    }

    /// Resamples `sources`, each of at least [`Self::reach`] bytes, into `lines`. Several rows at once share the loading of the
    /// weights.
    pub(super) fn apply<const ROWS: usize>(&self, sources: [&[u8]; ROWS], lines: &mut [&mut [u8]; ROWS]) {
        let mut sums = vec![0; ROWS * self.sums_len()];
        dispatch!(Level::new(), simd => convolve(simd, self, sources, &mut sums));
        for (line, sums) in lines.iter_mut().zip(sums.chunks_exact(self.sums_len())) {
            clip_all(sums, line);
        }
    }

    /// Three sums a pixel, and one more that the last pixel's fourth place is written to.
    fn sums_len(&self) -> usize {
        3 * self.starts.len() + 1
    }
}

/// Writes each source row's sums, row after row.
#[inline(always)]
fn convolve<S: Simd, const ROWS: usize>(simd: S, taps: &Taps, sources: [&[u8]; ROWS], sums: &mut [i32]) {
    simd.vectorize(
        #[inline(always)]
        || {
            let steps = taps.high.chunks_exact(taps.steps).zip(taps.low.chunks_exact(taps.steps));
            for (output, (start, (high, low))) in taps.starts.iter().zip(steps).enumerate() {
                let windows = sources.map(|source| &source[*start..][..taps.steps * 3 * PIXELS + LOADED]);
                for (row, sum) in weigh(simd, windows, high, low).into_iter().enumerate() {
                    sum.store_slice(&mut sums[row * taps.sums_len() + 3 * output..][..4]);
                }
            }
        },
    );
}

/// The sums of one pixel of the result in each row; the fourth is 0.
#[inline(always)]
fn weigh<S: Simd, const ROWS: usize>(
    simd: S,
    windows: [&[u8]; ROWS],
    high: &[[i16; LOADED]],
    low: &[[i16; LOADED]],
) -> [i32x4<S>; ROWS] {
    let pairs = u8x16::from_slice(simd, &PAIRS);
    let mut sums = [[i32x8::splat(simd, 0); 2]; ROWS];
    for (step, (high, low)) in high.iter().zip(low).enumerate() {
        let (high, low) = (i16x16::from_slice(simd, high), i16x16::from_slice(simd, low));
        for (window, sums) in windows.iter().zip(&mut sums) {
            let bytes = u8x16::from_slice(simd, &window[step * 3 * PIXELS..][..LOADED]);
            let (first, second) = bytes.swizzle_dyn_within_blocks(pairs).widen();
            let values: i16x16<S> = first.combine(second).bitcast();
            sums[0] += values.pairwise_dot_product(high);
            sums[1] += values.pairwise_dot_product(low);
        }
    }
    // no closure here: the processor's features that the caller has are not a closure's
    let mut together = [i32x4::splat(simd, HALF); ROWS];
    for (together, [high, low]) in together.iter_mut().zip(sums) {
        let (first, second) = ((high << LOW_BITS) + low).split();
        *together += first + second;
    }
    together
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Filter;

    const AXIS: Axis = Axis { length: 50, resized: 23, skipped: 2, kept: 20, start: 0 };

    fn sums<S: Simd>(simd: S, taps: &Taps, source: &[u8]) -> Vec<i32> {
        let mut sums = vec![0; taps.sums_len()];
        convolve(simd, taps, [source], &mut sums);
        sums.truncate(60);
        sums
    }

    #[test]
    fn every_instruction_set_gives_the_plain_sums() {
        let kernel = Kernel::of(Filter::Lanczos).expect("a convolution");
        let taps = Taps::new(&AXIS, kernel, 0..20);
        let source: Vec<u8> = (0..taps.reach).map(|index| (index * index * 31 % 251) as u8).collect();
        let mut expected = Vec::new();
        for output in 0..20 {
            let window = kernel.window(&AXIS, output);
            for channel in 0..3 {
                let value = |pixel: usize| i32::from(source[3 * (window.first + pixel) + channel]);
                let products = window.weights.iter().enumerate().map(|(pixel, weight)| value(pixel) * weight);
                expected.push(HALF + products.sum::<i32>());
            }
        }
        let level = Level::new();
        assert_eq!(dispatch!(level, simd => sums(simd, &taps, &source)), expected);
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!(level.as_avx2().map_or(expected.clone(), |simd| sums(simd, &taps, &source)), expected);
            assert_eq!(level.as_sse4_2().map_or(expected.clone(), |simd| sums(simd, &taps, &source)), expected);
            assert_eq!(level.as_sse2().map_or(expected.clone(), |simd| sums(simd, &taps, &source)), expected);
        }
    }
}
