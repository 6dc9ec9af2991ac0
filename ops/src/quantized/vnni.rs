//! The inner loops for AVX-512 with VNNI: four products of 8-bit numbers and their sum in one lane of one instruction.
//!
//! A 16-bit weight is taken as two 8-bit halves, each with a sum of its own, so that nothing saturates.

use std::arch::x86_64::*;

use super::kernels::{COLUMN, Kernels, LANES, Run};
use super::mixing::Tile;

/// Given out only on a machine that has the instructions.
pub(super) const KERNELS: Kernels = Kernels {
    // SAFETY: see above
    sums: |run| unsafe { sums(run) },
    // SAFETY: see above
    dot: |weights, input| unsafe { dot(weights, input) },
    mix,
};

/// Pixels whose sums are in registers before they are added to memory.
const BLOCK_PIXELS: usize = 32;

/// Pixels that are mixed side by side, to hide the latency of the products.
const TILE_PIXELS: usize = 4;

#[target_feature(enable = "avx512f")]
fn dot(weights: &[i16], input: &[f32]) -> f32 {
    let mut sums = [_mm512_setzero_ps(); LANES / 16];
    let (weights, weights_rest) = weights.as_chunks::<LANES>();
    let (input, input_rest) = input.as_chunks::<LANES>();
    for (weights, input) in weights.iter().zip(input) {
        add_products(&mut sums, weights, input);
    }
    if !weights_rest.is_empty() {
        let (mut weights, mut input) = ([0; LANES], [0.0; LANES]);
        weights[..weights_rest.len()].copy_from_slice(weights_rest);
        input[..input_rest.len()].copy_from_slice(input_rest);
        add_products(&mut sums, &weights, &input);
    }
    let [a, b, c, d] = sums;
    total(_mm512_add_ps(_mm512_add_ps(a, c), _mm512_add_ps(b, d)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_products(sums: &mut [__m512; LANES / 16], weights: &[i16; LANES], input: &[f32; LANES]) {
    for (index, sum) in sums.iter_mut().enumerate() {
        // SAFETY: 16 of `LANES` numbers each
        let (weights, input) = unsafe {
            let weights = _mm256_loadu_si256(weights.as_ptr().add(16 * index).cast());
            (weights, _mm512_loadu_ps(input.as_ptr().add(16 * index)))
        };
        let weights = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(weights));
        *sum = _mm512_add_ps(*sum, _mm512_mul_ps(weights, input));
    }
}

/// Sum of the lanes, halves upon halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn total(sums: __m512) -> f32 {
    let eight =
        _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_castps512_ps256(_mm512_shuffle_f32x4::<0xee>(sums, sums)));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sums(run: &mut Run<'_>) {
    let (x, channels) = (run.x, run.channels);
    let (sums, squares) = (&mut *run.sums, &mut *run.squares);
    for pixels in x.chunks(BLOCK_PIXELS * channels) {
        for first in (0..channels).step_by(COLUMN) {
            let sums = sums[first..].first_chunk_mut().expect("columns are whole");
            let squares = squares[first..].first_chunk_mut().expect("columns are whole");
            // SAFETY: there is at least one channel in the column; `pixels` are whole pixels
            unsafe { column(&pixels[first..], channels, channels - first, sums, squares) };
        }
    }
}

/// Adds up the first `width` channels, at most 64, of pixels that lie `stride` apart.
///
/// # Safety
/// The last pixel has `width` channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn column(pixels: &[u8], stride: usize, width: usize, sums: &mut [u32; COLUMN], squares: &mut [u32; COLUMN]) {
    let mask = if width >= COLUMN { u64::MAX } else { (1 << width) - 1 };
    let count = pixels.len().div_ceil(stride);
    // SAFETY: masked out are bytes beyond the channels, and pixels beyond the last
    let load = |pixel: usize| unsafe {
        let mask = if pixel < count { mask } else { 0 };
        let from = pixels.as_ptr().wrapping_add(pixel * stride);
        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(BLOCK_PIXELS * stride).cast());
        _mm512_maskz_loadu_epi8(mask, from.cast())
    };
    let (ones, sign) = (_mm512_set1_epi8(1), _mm512_set1_epi8(i8::MIN));
    let (mut sum, mut square) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_si512(); 4]);
    for pixel in (0..count).step_by(4) {
        for (index, quad) in quads([load(pixel), load(pixel + 1), load(pixel + 2), load(pixel + 3)]).iter().enumerate()
        {
            sum[index] = _mm512_dpbusd_epi32(sum[index], *quad, ones);
            // the second factor is signed: the number less 128
            square[index] = _mm512_dpbusd_epi32(square[index], *quad, _mm512_xor_si512(*quad, sign));
        }
    }
    for (index, (sum, square)) in in_order(sum).into_iter().zip(in_order(square)).enumerate() {
        let square = _mm512_add_epi32(square, _mm512_slli_epi32::<7>(sum));
        // SAFETY: a quarter of 64 numbers each
        unsafe {
            add_to(sums.as_mut_ptr().add(16 * index), sum);
            add_to(squares.as_mut_ptr().add(16 * index), square);
        }
    }
}

/// # Safety
/// 16 numbers can be read and written at `place`.
#[target_feature(enable = "avx512f")]
unsafe fn add_to(place: *mut u32, numbers: __m512i) {
    // SAFETY: by the caller's word
    unsafe { _mm512_storeu_si512(place.cast(), _mm512_add_epi32(_mm512_loadu_si512(place.cast()), numbers)) };
}

/// Four pixels' bytes brought together channel by channel: 128-bit lane `l` of register `j` holds channels `16 l + 4 j` on.
#[target_feature(enable = "avx512f,avx512bw")]
fn quads([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (low_ab, high_ab) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (low_cd, high_cd) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    [
        _mm512_unpacklo_epi16(low_ab, low_cd),
        _mm512_unpackhi_epi16(low_ab, low_cd),
        _mm512_unpacklo_epi16(high_ab, high_cd),
        _mm512_unpackhi_epi16(high_ab, high_cd),
    ]
}

/// Sums in the registers of [`quads`] in the order of channels: lanes and registers change places.
#[target_feature(enable = "avx512f")]
fn in_order([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab_low, ab_high) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
    let (cd_low, cd_high) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(ab_low, cd_low),
        _mm512_shuffle_i32x4::<0xdd>(ab_low, cd_low),
        _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high),
        _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high),
    ]
}

/// # Safety
/// The machine has the instructions; [`Tile`] says the rest.
unsafe fn mix(tile: &Tile<'_>) {
    // SAFETY: passed on
    unsafe {
        match (tile.rows == 16, tile.residual.is_null()) {
            (true, true) => mix_as::<true, false>(tile),
            (true, false) => mix_as::<true, true>(tile),
            (false, true) => mix_as::<false, false>(tile),
            (false, false) => mix_as::<false, true>(tile),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn mix_as<const FULL: bool, const RESIDUAL: bool>(tile: &Tile<'_>) {
    let rows = Rows::new(tile);
    // SAFETY: passed on; the constant depth keeps the weights of usual groups in registers
    unsafe {
        match tile.depth {
            16 => all::<FULL, RESIDUAL>(tile, &rows, 16),
            depth => all::<FULL, RESIDUAL>(tile, &rows, depth),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn all<const FULL: bool, const RESIDUAL: bool>(tile: &Tile<'_>, rows: &Rows, depth: usize) {
    let mut pixel = 0;
    // SAFETY: passed on
    unsafe {
        while pixel + TILE_PIXELS <= tile.pixels {
            some::<FULL, RESIDUAL, TILE_PIXELS>(tile, rows, depth, pixel);
            pixel += TILE_PIXELS;
        }
        while pixel < tile.pixels {
            some::<FULL, RESIDUAL, 1>(tile, rows, depth, pixel);
            pixel += 1;
        }
    }
}

/// A tile's constants, in registers.
struct Rows {
    mask: __mmask16,
    start: __m512i,
    scale: __m512,
    offset: __m512,
    residual_scale: __m512,
    low: __m512,
}

impl Rows {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn new(tile: &Tile<'_>) -> Self {
        // SAFETY: arrays of 16 numbers
        let (start, scale) =
            unsafe { (_mm512_loadu_si512(tile.start.as_ptr().cast()), _mm512_loadu_ps(tile.scale.as_ptr())) };
        let offset = _mm512_set1_ps(tile.offset);
        let (residual_scale, low) = (_mm512_set1_ps(tile.residual_scale), _mm512_set1_ps(tile.low));
        Self { mask: u16::MAX >> (16 - tile.rows), start, scale, offset, residual_scale, low }
    }
}

/// Mixes `PIXELS` pixels from `pixel` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn some<const FULL: bool, const RESIDUAL: bool, const PIXELS: usize>(
    tile: &Tile<'_>,
    rows: &Rows,
    depth: usize,
    pixel: usize,
) {
    let (mut upper, mut lower) = ([_mm512_setzero_si512(); PIXELS], [rows.start; PIXELS]);
    let weights = tile.weights.as_ptr();
    // SAFETY: a panel has `depth / 2` lines; the caller vouches for the pixels
    unsafe {
        let input = tile.input.add(pixel * tile.input_stride);
        for quad in 0..depth / 4 {
            let upper_weights = _mm512_load_si512(weights.add(2 * quad).cast());
            let lower_weights = _mm512_load_si512(weights.add(2 * quad + 1).cast());
            for index in 0..PIXELS {
                let four = input.add(index * tile.input_stride + 4 * quad).cast::<i32>().read_unaligned();
                let four = _mm512_set1_epi32(four);
                upper[index] = _mm512_dpbusd_epi32(upper[index], four, upper_weights);
                lower[index] = _mm512_dpbusd_epi32(lower[index], four, lower_weights);
            }
        }
        for index in 0..PIXELS {
            let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(upper[index]), lower[index]);
            let at = (pixel + index) * tile.stride;
            let mut real = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), rows.scale);
            if RESIDUAL {
                let residual = load::<FULL>(rows.mask, tile.residual.add(at));
                real = _mm512_add_ps(real, _mm512_mul_ps(residual, rows.residual_scale));
            }
            real = _mm512_max_ps(_mm512_add_ps(real, rows.offset), rows.low);
            store::<FULL>(rows.mask, tile.output.add(at), real);
        }
    }
}

/// Up to 16 bytes as real numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load<const FULL: bool>(mask: __mmask16, from: *const u8) -> __m512 {
    // SAFETY: the caller vouches for the bytes of the mask
    let bytes = unsafe { if FULL { _mm_loadu_si128(from.cast()) } else { _mm_maskz_loadu_epi8(mask, from.cast()) } };
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
}

/// Up to 16 real numbers from 0 on, rounded to bytes; what is above 255 becomes 255, even where no 32 bits hold it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store<const FULL: bool>(mask: __mmask16, to: *mut u8, real: __m512) {
    let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(real));
    // SAFETY: the caller vouches for the bytes of the mask
    unsafe { if FULL { _mm_storeu_si128(to.cast(), bytes) } else { _mm_mask_storeu_epi8(to.cast(), mask, bytes) } }
}
