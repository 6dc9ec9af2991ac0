//! Filters times pixels in the runtime's blocked layout: the products that convolutions are made of. Who asks for them says what becomes of the sums.

use std::ops::Range;

use crate::vector::{Vector, prefetch_line};

/// Pixels that are summed at once, at most: fewer where there are few registers, so that sums, filters and a pixel have room there.
const fn most_pixels<V: Vector>() -> usize {
    if V::LANES == 16 { 6 } else { 5 }
}

/// Binary places of a number of registers of filters.
const PLACES: u32 = 12;

/// Outputs whose filters lie together, at most: as many as are summed at once by the instructions that have blocks of `block` channels.
pub(crate) fn widest_group(block: usize) -> usize {
    if block == 16 { 64 } else { 16 }
}

/// How many groups `outputs` make.
pub(crate) fn groups(outputs: usize, block: usize) -> usize {
    outputs.div_ceil(widest_group(block))
}

/// The outputs of group `index`, whole blocks. Groups are of about one size, because those of few outputs are slow.
pub(crate) fn group(outputs: usize, block: usize, index: usize) -> Range<usize> {
    let (groups, blocks) = (groups(outputs, block), outputs / block);
    index * blocks / groups * block..(index + 1) * blocks / groups * block
}

/// What is multiplied. B is the width of a block.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    /// `[inputs][width]`
    pub(crate) filters: *const f32,
    /// Outputs whose filters lie together.
    pub(crate) width: usize,
    /// Of these, the first that is computed, and where they end.
    pub(crate) outputs: [usize; 2],
    /// `[inputs / B][count][B]`
    pub(crate) pixels: *const f32,
    /// Numbers between a pixel and the same of the next block.
    pub(crate) pixels_apart: usize,
    /// Blocks of inputs.
    pub(crate) blocks: usize,
    /// Pixels.
    pub(crate) count: usize,
}

/// How results lie that are in the runtime's layout.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// B.
    pub(crate) block: usize,
    /// Numbers between a pixel and the same of the next block.
    pub(crate) apart: usize,
}

impl Layout {
    /// Where output `output` of pixel `at` is.
    #[inline(always)]
    pub(crate) fn place(self, output: usize, at: usize) -> usize {
        output / self.block * self.apart + at * self.block + output % self.block
    }

    /// Asks for the lines in `memory` of what a [`Sink`] will take.
    #[inline(always)]
    pub(crate) fn prefetch<V: Vector, const COLUMNS: usize, const COUNT: usize>(
        self,
        memory: *const f32,
        first: usize,
        at: usize,
    ) {
        for column in 0..COLUMNS {
            let place = self.place(first + column * V::LANES, at);
            for pixel in 0..COUNT {
                prefetch_line(memory.wrapping_add(place + pixel * self.block));
            }
        }
    }
}

/// Takes the sums.
pub(crate) trait Sink<V: Vector> {
    /// Is told what it will take next.
    fn expect<const COLUMNS: usize, const COUNT: usize>(&mut self, _first: usize, _at: usize) {}

    /// Takes `[pixels][outputs]` registers of sums: for the pixels from `at` on, for the outputs from `first` on.
    ///
    /// # Safety
    /// The machine has `V`'s instructions.
    unsafe fn take<const COLUMNS: usize, const COUNT: usize>(
        &mut self,
        first: usize,
        at: usize,
        sums: &[[V; COLUMNS]; COUNT],
    );
}

/// Multiplies, `COLUMNS` registers of outputs at a time. B is `BLOCK`.
///
/// # Safety
/// The machine has `V`'s instructions, the numbers that `product` names can be read, outputs begin and end with whole registers.
#[inline(always)]
pub(crate) unsafe fn multiply<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    product: Product,
    sink: &mut impl Sink<V>,
) {
    let [mut first, end] = product.outputs;
    // SAFETY: columns end where the outputs do, with a whole register
    unsafe {
        while first < end {
            let columns = ((end - first) / V::LANES).min(COLUMNS);
            match columns {
                4 if COLUMNS >= 4 => rows::<V, BLOCK, 4>(product, first, sink),
                3 if COLUMNS >= 3 => rows::<V, BLOCK, 3>(product, first, sink),
                2 if COLUMNS >= 2 => rows::<V, BLOCK, 2>(product, first, sink),
                _ => rows::<V, BLOCK, 1>(product, first, sink),
            }
            first += columns.max(1) * V::LANES;
        }
    }
}

/// All pixels, in steps of about one size. The filters that come next in memory are fetched meanwhile: a network's don't fit into a cache.
#[inline(always)]
unsafe fn rows<V: Vector, const BLOCK: usize, const COLUMNS: usize>(
    product: Product,
    first: usize,
    sink: &mut impl Sink<V>,
) {
    let steps = product.count.div_ceil(most_pixels::<V>()).max(1);
    let (each, more) = (product.count / steps, product.count % steps);
    let inputs = product.blocks * BLOCK;
    // without branches: always so many at each input, some more than once where a step's share is small
    let pace = ((COLUMNS << PLACES) / (steps * prefetches(COLUMNS))).min(1 << PLACES);
    let share = inputs.div_ceil(steps) * COLUMNS * V::LANES;
    let mut ahead = product.filters.wrapping_add(first + product.width * inputs);
    let mut at = 0;
    // SAFETY: as of `multiply`; the steps end with the last pixel
    unsafe {
        for step in 0..steps {
            let count = each + usize::from(step < more);
            match count {
                6 if most_pixels::<V>() >= 6 => pixels::<V, BLOCK, COLUMNS, 6>(product, first, at, ahead, pace, sink),
                5 if most_pixels::<V>() >= 5 => pixels::<V, BLOCK, COLUMNS, 5>(product, first, at, ahead, pace, sink),
                4 => pixels::<V, BLOCK, COLUMNS, 4>(product, first, at, ahead, pace, sink),
                3 => pixels::<V, BLOCK, COLUMNS, 3>(product, first, at, ahead, pace, sink),
                2 => pixels::<V, BLOCK, COLUMNS, 2>(product, first, at, ahead, pace, sink),
                1 => pixels::<V, BLOCK, COLUMNS, 1>(product, first, at, ahead, pace, sink),
                _ => {}
            }
            at += count;
            ahead = ahead.wrapping_add(share);
        }
    }
}

/// Lines that are asked for at each input.
const fn prefetches(columns: usize) -> usize {
    columns.div_ceil(2)
}

/// `COUNT` pixels from `at` on, `COLUMNS` registers of outputs from `first` on. Meanwhile what lies at `ahead` is fetched, at each input `pace` lines, in
/// parts of `1 << PLACES`.
#[inline(always)]
unsafe fn pixels<V: Vector, const BLOCK: usize, const COLUMNS: usize, const COUNT: usize>(
    product: Product,
    first: usize,
    at: usize,
    ahead: *const f32,
    pace: usize,
    sink: &mut impl Sink<V>,
) {
    // blocks of less than a register are of few inputs, whose filters stay in a cache
    let whole = BLOCK >= V::LANES;
    sink.expect::<COLUMNS, COUNT>(first, at);
    // SAFETY: as of `multiply`
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; COUNT];
        let mut filters = product.filters.add(first);
        let mut pixels = product.pixels.add(at * BLOCK);
        let mut fetched = 0;
        for _ in 0..product.blocks {
            if whole {
                for pixel in COUNT..2 * COUNT {
                    prefetch_line(pixels.wrapping_add(pixel * BLOCK));
                }
            }
            for lane in 0..BLOCK {
                if whole {
                    for _ in 0..prefetches(COLUMNS) {
                        prefetch_line(ahead.wrapping_add((fetched >> PLACES) * V::LANES));
                        fetched += pace;
                    }
                }
                let weights: [V; COLUMNS] = std::array::from_fn(|column| V::load(filters.add(column * V::LANES)));
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*pixels.add(pixel * BLOCK + lane));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = weight.mul_add(value, *sum);
                    }
                }
                // the last step leads out of the numbers
                filters = filters.wrapping_add(product.width);
            }
            pixels = pixels.wrapping_add(product.pixels_apart);
        }
        sink.take(first, at, &sums);
    }
}
