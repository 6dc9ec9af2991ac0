//! The 1x1 convolution before a block, whose results go to where the block's are to be: they are mixed while they are in the cache, and their
//! variances are taken along.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]
#![expect(clippy::needless_range_loop, reason = "sums stay in registers where loops are plain")]

use super::variance::{Moments, RUN};
use crate::multiply::{Layout, Product, Sink, multiply};
use crate::scratch::Buffer;
use crate::vector::Vector;

/// What the pixels may take that all outputs of a group are made of, one after the other: they stay in a second-level cache.
const PIXELS_BYTES: usize = 256 << 10;

/// Outputs in the widest group.
const MAX_GROUP: usize = 64;

/// A convolution whose results a block mixes.
#[derive(Debug, Clone, Copy)]
pub struct Pointwise<'a> {
    /// `[N, inputs / B, H * W, B]`
    pub x: &'a [f32],
    /// Channels of it, whole blocks.
    pub inputs: usize,
    /// By [`transformed`](crate::convolution::transformed), for [`Tile::Pixel`](crate::convolution::Tile::Pixel).
    pub filters: &'a [f32],
    /// A number for each output, with those that fill up the last block.
    pub bias: &'a [f32],
}

/// A [`Pointwise`] in memory of somebody else's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointwiseMemory {
    pub(crate) x: *const f32,
    pub(crate) inputs: usize,
    pub(crate) filters: *const f32,
    pub(crate) bias: *const f32,
}

/// Some outputs of a group, of one sample.
#[derive(Clone, Copy)]
pub(super) struct Share {
    /// `[inputs / B][count][B]`
    pub(super) x: *const f32,
    pub(super) inputs: usize,
    /// Pixels.
    pub(super) count: usize,
    /// The group's, `[inputs][width]`.
    pub(super) filters: *const f32,
    pub(super) width: usize,
    /// Within the group: the first, and where they end; whole blocks.
    pub(super) outputs: [usize; 2],
    /// The group's.
    pub(super) bias: *const f32,
    /// `[width / B][count][B]`: where the group's results go.
    pub(super) y: *mut f32,
    /// What is added to the mixed results, as `y`, or null; it is only asked for here.
    pub(super) addend: *const f32,
}

/// Computes the results, and the unbiased variance of each output into `variances`. B is `BLOCK`.
///
/// # Safety
/// The machine has `V`'s instructions; what the share names can be read and written, and nobody else writes it; there are 2 pixels or more.
#[inline(always)]
pub(super) unsafe fn convolve<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    share: &Share,
    variances: &mut [f32],
    buffer: &mut Buffer,
) {
    let [first, end] = share.outputs;
    assert!(share.width <= MAX_GROUP && variances.len() == end - first, "a variance for each output");
    let most = (PIXELS_BYTES / (share.inputs * size_of::<f32>())).clamp(1, RUN);
    let parts = share.count.div_ceil(most);
    let mut moments = [Moments::default(); MAX_GROUP];
    let spread = buffer.take(SPREAD * share.width);
    for part in 0..parts {
        let pixels = part * share.count / parts..(part + 1) * share.count / parts;
        let product = Product {
            filters: share.filters,
            width: share.width,
            outputs: share.outputs,
            pixels: share.x.wrapping_add(pixels.start * BLOCK),
            pixels_apart: share.count * BLOCK,
            blocks: share.inputs / BLOCK,
            count: pixels.len(),
        };
        let mut results = Results {
            y: share.y.wrapping_add(pixels.start * BLOCK),
            addend: share.addend.wrapping_add(pixels.start * BLOCK),
            layout: Layout { block: BLOCK, apart: share.count * BLOCK },
            width: share.width,
            bias: share.bias,
            spread: spread.as_mut_ptr(),
        };
        unsafe { multiply::<V, BLOCK, COLUMNS>(product, &mut results) };
        for (output, moments) in moments.iter_mut().enumerate().take(end).skip(first) {
            let [centre, sum, squares] = [0, 1, 2].map(|kind| f64::from(spread[kind * share.width + output]));
            *moments = moments.and(Moments::around(centre, pixels.len(), sum, squares));
        }
    }
    for (variance, moments) in variances.iter_mut().zip(&moments[first..end]) {
        *variance = moments.unbiased_variance() as f32;
    }
}

/// Numbers that are kept of each output on the way: one near its mean, the sum of what its pixels differ from that by, and of the squares.
const SPREAD: usize = 3;

/// Where results go.
struct Results {
    y: *mut f32,
    addend: *const f32,
    layout: Layout,
    width: usize,
    bias: *const f32,
    /// `[SPREAD][width]`
    spread: *mut f32,
}

impl<V: Vector> Sink<V> for Results {
    /// Of many pictures neither the results' place nor what is added to them is in the cache: both are fetched while the products are taken.
    #[inline(always)]
    fn expect<const COLUMNS: usize, const COUNT: usize>(&mut self, first: usize, at: usize) {
        self.layout.prefetch::<V, COLUMNS, COUNT>(self.y, first, at);
        self.layout.prefetch::<V, COLUMNS, COUNT>(self.addend, first, at);
    }

    #[inline(always)]
    unsafe fn take<const COLUMNS: usize, const COUNT: usize>(
        &mut self,
        first: usize,
        at: usize,
        sums: &[[V; COLUMNS]; COUNT],
    ) {
        for column in 0..COLUMNS {
            let output = first + column * V::LANES;
            unsafe {
                let bias = V::load(self.bias.add(output));
                let target = self.y.add(self.layout.place(output, at));
                let spread = self.spread.add(output);
                let values: [V; COUNT] = std::array::from_fn(|pixel| sums[pixel][column].add(bias));
                let (centre, mut sum, mut squares) = if at == 0 {
                    let mut mean = V::splat(0.0);
                    for value in values {
                        mean = value.mul_add(V::splat(1.0 / COUNT as f32), mean);
                    }
                    mean.store(spread);
                    (mean, V::splat(0.0), V::splat(0.0))
                } else {
                    (V::load(spread), V::load(spread.add(self.width)), V::load(spread.add(2 * self.width)))
                };
                for (pixel, value) in values.into_iter().enumerate() {
                    value.store(target.add(pixel * self.layout.block));
                    let deviation = value.sub(centre);
                    sum = sum.add(deviation);
                    squares = deviation.mul_add(deviation, squares);
                }
                sum.store(spread.add(self.width));
                squares.store(spread.add(2 * self.width));
            }
        }
    }
}
