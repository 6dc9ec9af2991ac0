//! 1x1 convolutions: pixels are multiplied where they lie, results go to where they are to be.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function's own contract covers its calls of Vector")]
#![expect(clippy::needless_range_loop, reason = "sums stay in registers where loops are plain")]

use std::ops::Range;

use super::tiles::Batch;
use super::{Convolution, Memory, Pictures};
use crate::multiply::{Layout, Product, Sink, group, multiply};
use crate::scratch::TileBuffers;
use crate::vector::Vector;

/// Computes the results `pixels`, counted through the pictures, for some groups of outputs. B is `BLOCK`.
///
/// # Safety
/// As of [`super::tiles::run`]; there are no pads.
#[inline(always)]
pub(super) unsafe fn run<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    batch: &Batch<'_>,
    pixels: Range<usize>,
    groups: Range<usize>,
    buffers: &mut TileBuffers,
) {
    let Convolution { block, inputs, outputs, stride, range, .. } = *batch.convolution;
    let Memory { x, filters, bias, addend, y } = batch.memory;
    let whole: usize = batch.convolution.results(batch.pictures).iter().product();
    // at larger strides the pixels that are read are put together first
    let together = (stride > 1).then(|| unsafe { gathered::<V, BLOCK>(batch, pixels.clone(), buffers) });
    for index in groups {
        let group = group(outputs, block, index);
        let (first, width) = (group.start, group.len());
        let mut start = pixels.start;
        while start < pixels.end {
            let (sample, at) = (start / whole, start % whole);
            let count = (whole - at).min(pixels.end - start);
            let place = (sample * outputs + first) * whole + at * block;
            unsafe {
                let (from, apart) = match together {
                    Some(from) => (from.add((start - pixels.start) * block), pixels.len() * block),
                    None => (x.add(sample * inputs * whole + at * block), whole * block),
                };
                let product = Product {
                    filters: filters.add(first * inputs),
                    width,
                    outputs: [0, width],
                    pixels: from,
                    pixels_apart: apart,
                    blocks: inputs / block,
                    count,
                };
                let mut results = Results {
                    y: y.add(place),
                    addend: if addend.is_null() { addend } else { addend.add(place) },
                    layout: Layout { block, apart: whole * block },
                    bias: bias.add(first),
                    range,
                };
                multiply::<V, BLOCK, COLUMNS>(product, &mut results);
            }
            start += count;
        }
    }
}

/// The pixels that the results `pixels` are made of, `[inputs / B][pixels][B]`.
#[inline(always)]
unsafe fn gathered<V: Vector, const BLOCK: usize>(
    batch: &Batch<'_>,
    pixels: Range<usize>,
    buffers: &mut TileBuffers,
) -> *const f32 {
    let Convolution { block, inputs, stride, .. } = *batch.convolution;
    let Pictures { height, width, .. } = batch.pictures;
    let [rows, columns] = batch.convolution.results(batch.pictures);
    let gathered = buffers.pixels.take(inputs * pixels.len()).as_mut_ptr();
    let mut target = gathered;
    for index in 0..inputs / block {
        let mut start = pixels.start;
        while start < pixels.end {
            let (sample, row, column) = (start / (rows * columns), start / columns % rows, start % columns);
            let count = (columns - column).min(pixels.end - start);
            let at = ((sample * inputs / block + index) * height + row * stride) * width + column * stride;
            unsafe {
                let from = batch.memory.x.add(at * block);
                for pixel in 0..count {
                    for register in 0..BLOCK / V::LANES {
                        let number = pixel * block + register * V::LANES;
                        V::load(from.add(pixel * stride * block + register * V::LANES)).store(target.add(number));
                    }
                }
                target = target.add(count * block);
            }
            start += count;
        }
    }
    gathered
}

/// Where a group's results go.
struct Results {
    y: *mut f32,
    addend: *const f32,
    layout: Layout,
    bias: *const f32,
    range: [f32; 2],
}

impl<V: Vector> Sink<V> for Results {
    /// What is added is fetched while the products are taken.
    #[inline(always)]
    fn expect<const COLUMNS: usize, const COUNT: usize>(&mut self, first: usize, at: usize) {
        if !self.addend.is_null() {
            self.layout.prefetch::<V, COLUMNS, COUNT>(self.addend, first, at);
        }
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
            let (place, block) = (self.layout.place(output, at), self.layout.block);
            unsafe {
                let bias = V::load(self.bias.add(output));
                let mut values: [V; COUNT] = std::array::from_fn(|pixel| sums[pixel][column].add(bias));
                if !self.addend.is_null() {
                    let addend = self.addend.add(place);
                    values = std::array::from_fn(|pixel| values[pixel].add(V::load(addend.add(pixel * block))));
                }
                let [low, high] = self.range.map(|bound| V::splat(bound));
                for (pixel, value) in values.into_iter().enumerate() {
                    value.clamp(low, high).store(self.y.add(place + pixel * block));
                }
            }
        }
    }
}
