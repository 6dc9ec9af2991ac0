//! The inner loops for AVX2: two products of 16-bit numbers and their sum in one lane of one instruction.

use std::arch::x86_64::*;

use super::kernels::{Kernels, LANES, Run};
use super::mixing::Tile;

/// Given out only on a machine that has the instructions.
pub(super) const KERNELS: Kernels = Kernels {
    // SAFETY: see above
    sums: |run| unsafe { sums(run) },
    // SAFETY: see above
    dot: |weights, input| unsafe { dot(weights, input) },
    mix,
};

/// Pixels that are mixed side by side.
const TILE_PIXELS: usize = 4;

/// Channels whose sums are taken at once.
const WIDTH: usize = 16;

#[target_feature(enable = "avx2")]
fn dot(weights: &[i16], input: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); LANES / 8];
    let (whole, weights_rest) = weights.as_chunks::<LANES>();
    let (input, input_rest) = input.as_chunks::<LANES>();
    for (weights, input) in whole.iter().zip(input) {
        add_products(&mut sums, weights, input);
    }
    if !weights_rest.is_empty() {
        let (mut weights, mut input) = ([0; LANES], [0.0; LANES]);
        weights[..weights_rest.len()].copy_from_slice(weights_rest);
        input[..input_rest.len()].copy_from_slice(input_rest);
        add_products(&mut sums, &weights, &input);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let (a, b, c, d) = (_mm256_add_ps(a, e), _mm256_add_ps(b, f), _mm256_add_ps(c, g), _mm256_add_ps(d, h));
    let eight = _mm256_add_ps(_mm256_add_ps(a, c), _mm256_add_ps(b, d));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sums: &mut [__m256; LANES / 8], weights: &[i16; LANES], input: &[f32; LANES]) {
    for (index, sum) in sums.iter_mut().enumerate() {
        // SAFETY: eight of `LANES` numbers each
        let (weights, input) = unsafe {
            (_mm_loadu_si128(weights.as_ptr().add(8 * index).cast()), _mm256_loadu_ps(input.as_ptr().add(8 * index)))
        };
        let weights = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(weights));
        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(weights, input));
    }
}

#[target_feature(enable = "avx2")]
fn sums(run: &mut Run<'_>) {
    let (x, channels) = (run.x, run.channels);
    let (sums, squares) = (&mut *run.sums, &mut *run.squares);
    for pixels in x.chunks(2 * channels) {
        for first in (0..channels).step_by(WIDTH) {
            let count = WIDTH.min(channels - first);
            let second = if pixels.len() > channels { &pixels[channels + first..][..count] } else { &[] };
            let (a, b) = (widened(&pixels[first..][..count]), widened(second));
            let (low, high) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
            let ones = _mm256_set1_epi16(1);
            let sums = sums[first..].first_chunk_mut().expect("columns are whole");
            let squares = squares[first..].first_chunk_mut().expect("columns are whole");
            add_to(sums, _mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones));
            add_to(squares, _mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high));
        }
    }
}

/// At most 16 bytes as 16-bit numbers, the rest 0.
#[inline]
#[target_feature(enable = "avx2")]
fn widened(bytes: &[u8]) -> __m256i {
    // SAFETY: 16 bytes are read
    unsafe { _mm256_cvtepu8_epi16(first_bytes(bytes.as_ptr(), bytes.len())) }
}

/// Adds the sums of channels 0 to 3 and 8 to 11, and of 4 to 7 and 12 to 15.
#[inline]
#[target_feature(enable = "avx2")]
fn add_to(place: &mut [u32; WIDTH], low: __m256i, high: __m256i) {
    let halves = [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)];
    for (index, half) in halves.into_iter().enumerate() {
        // SAFETY: half of 16 numbers
        unsafe {
            let place = place.as_mut_ptr().add(8 * index).cast::<__m256i>();
            _mm256_storeu_si256(place, _mm256_add_epi32(_mm256_loadu_si256(place), half));
        }
    }
}

/// # Safety
/// The machine has the instructions; [`Tile`] says the rest.
unsafe fn mix(tile: &Tile<'_>) {
    // SAFETY: passed on
    unsafe { all(tile) }
}

#[target_feature(enable = "avx2")]
unsafe fn all(tile: &Tile<'_>) {
    let mut pixel = 0;
    // SAFETY: passed on
    unsafe {
        while pixel + TILE_PIXELS <= tile.pixels {
            some::<TILE_PIXELS>(tile, pixel);
            pixel += TILE_PIXELS;
        }
        while pixel < tile.pixels {
            some::<1>(tile, pixel);
            pixel += 1;
        }
    }
}

/// Mixes `PIXELS` pixels from `pixel` on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn some<const PIXELS: usize>(tile: &Tile<'_>, pixel: usize) {
    // SAFETY: a panel has `depth / 2` lines; the caller vouches for the pixels
    unsafe {
        let start = tile.start.as_ptr().cast::<__m256i>();
        let mut sums = [[_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))]; PIXELS];
        let input = tile.input.add(pixel * tile.input_stride);
        for (index, line) in tile.weights.iter().enumerate() {
            let line = line.0.as_ptr().cast::<__m256i>();
            let weights = [_mm256_load_si256(line), _mm256_load_si256(line.add(1))];
            for (at, sums) in sums.iter_mut().enumerate() {
                let pair = input.add(at * tile.input_stride + 2 * index).cast::<i16>().read_unaligned();
                let pair = _mm256_cvtepu8_epi16(_mm_set1_epi16(pair));
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(pair, weights[0]));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(pair, weights[1]));
            }
        }
        for (at, sums) in sums.into_iter().enumerate() {
            finish(tile, sums, (pixel + at) * tile.stride);
        }
    }
}

/// From integers to the panel's bytes at `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(tile: &Tile<'_>, sums: [__m256i; 2], at: usize) {
    // SAFETY: the caller vouches for the tile's bytes at `at`
    unsafe {
        let residual =
            if tile.residual.is_null() { _mm_setzero_si128() } else { first_bytes(tile.residual.add(at), tile.rows) };
        let low = half(tile, 0, sums[0], residual);
        let high = half(tile, 8, sums[1], _mm_srli_si128::<8>(residual));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        if tile.rows == 16 {
            return _mm_storeu_si128(tile.output.add(at).cast(), bytes);
        }
        let mut all = [0_u8; 16];
        _mm_storeu_si128(all.as_mut_ptr().cast(), bytes);
        std::ptr::copy_nonoverlapping(all.as_ptr(), tile.output.add(at), tile.rows);
    }
}

/// Eight rows from `first` on, as integers between 0 and 255.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn half(tile: &Tile<'_>, first: usize, sums: __m256i, residual: __m128i) -> __m256i {
    // SAFETY: `first` is 0 or 8, of 16 rows
    let scale = unsafe { _mm256_loadu_ps(tile.scale.as_ptr().add(first)) };
    let mut real = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
    if !tile.residual.is_null() {
        real = _mm256_add_ps(real, _mm256_mul_ps(real_numbers(residual), _mm256_set1_ps(tile.residual_scale)));
    }
    real = _mm256_max_ps(_mm256_add_ps(real, _mm256_set1_ps(tile.offset)), _mm256_set1_ps(tile.low));
    _mm256_cvtps_epi32(_mm256_min_ps(real, _mm256_set1_ps(255.0)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn real_numbers(bytes: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
}

/// The first `count` of at most 16 bytes, the rest 0.
///
/// # Safety
/// `count` bytes can be read at `from`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn first_bytes(from: *const u8, count: usize) -> __m128i {
    // SAFETY: by the caller's word; the rest is read from a copy
    unsafe {
        if count == 16 {
            return _mm_loadu_si128(from.cast());
        }
        let mut bytes = [0_u8; 16];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        _mm_loadu_si128(bytes.as_ptr().cast())
    }
}
