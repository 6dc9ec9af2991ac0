//! One sample's way: sums, gate, mixing, each split over the threads.

use std::ops::Range;
use std::slice;

use super::kernels::{COLUMN, RUN, Run};
use super::mixing::Tile;
use super::scratch::{Buffers, TaskBuffers, with_buffers, with_task_buffers, zeroed};
use super::weights::{Line, ROWS, depth, padded_rows, panel_lines};
use super::{Block, RawTensors, gate};
use crate::parallel::Shared;
use crate::phases::{self, Phase};
use crate::{Parallel, Serial, Shape};

/// Numbers of a sample from which on it is worth waking threads.
const WORTH_A_THREAD: usize = 1 << 18;

/// Bytes of X that are mixed at a time: with the residual and the output they fit a first-level cache.
const BLOCK_BYTES: usize = 8 * 1024;

const TASKS_PER_THREAD: usize = 4;

/// A batch and its place in memory.
pub(super) struct Batch<'a> {
    block: &'a Block,
    shape: &'a Shape,
    tensors: RawTensors,
}

// SAFETY: `new`'s caller lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

impl<'a> Batch<'a> {
    /// # Safety
    /// The block fits `shape`; the memory is as `Block::forward_raw` asks, for as long as the batch lives.
    pub(super) unsafe fn new(block: &'a Block, shape: &'a Shape, tensors: RawTensors) -> Self {
        Self { block, shape, tensors }
    }

    /// Sample `index`, which no two threads may run at once.
    pub(super) fn sample(&self, index: usize) -> Sample<'a> {
        assert!(index < self.shape.batch);
        let RawTensors { x, residual, y } = self.tensors;
        let offset = index * self.shape.sample_len();
        // SAFETY: samples lie one after the other, so this one is within each tensor that there is
        let tensors = unsafe {
            let residual = if residual.is_null() { residual } else { residual.add(offset) };
            RawTensors { x: x.add(offset), residual, y: y.add(offset) }
        };
        Sample { block: self.block, shape: self.shape, tensors }
    }
}

/// One sample and its place in memory; what `Batch::new` asks for holds for it too.
pub(super) struct Sample<'a> {
    block: &'a Block,
    shape: &'a Shape,
    tensors: RawTensors,
}

// SAFETY: as for `Batch`
unsafe impl Sync for Sample<'_> {}

/// A group's channels of a few pixels.
struct Place {
    /// Their first byte in the sample.
    at: usize,
    /// Where they are read, and how far from pixel to pixel.
    input: *const u8,
    input_stride: usize,
    /// Pixels.
    count: usize,
}

/// A sample's own matrices, and what X's zero point takes from each row's sum.
struct Matrices<'a> {
    lines: &'a [Line],
    start: &'a [i32],
}

impl Sample<'_> {
    /// Computes the sample's output.
    pub(super) fn run(&self, parallel: &dyn Parallel) {
        let parallel = if self.shape.sample_len() < WORTH_A_THREAD { &Serial } else { parallel };
        with_buffers(|Buffers { totals, channels, hidden, lines, start }| {
            let (block, count) = (self.block, self.shape.channels());
            let parts = tasks(parallel, self.shape.pixels);
            let totals = Shared::new(zeroed(totals, parts * 2 * count));
            let own = Shared::new(zeroed(channels, count));
            let hidden = Shared::new(zeroed(hidden, block.gate.hidden()));
            let lines = Shared::new(block.weights.copy(lines));
            let start = Shared::new(zeroed(start, block.scale.len()));
            // SAFETY: each task has its own part
            let sums =
                |part| unsafe { self.sums(part, parts, totals.range_mut(part * 2 * count..(part + 1) * 2 * count)) };
            // SAFETY: one task, after all sums
            let gate = |_| unsafe {
                let gates = own.all_mut();
                self.variance(totals.all(), gates);
                block.gate.run(&block.kernels, gates, hidden.all_mut());
                block.weights.fill(gates, block.x.zero_point, lines.all_mut(), start.all_mut());
            };
            let blocks = self.shape.pixels.div_ceil(self.block_pixels());
            let shares = tasks(parallel, blocks);
            let mix = |share| {
                // SAFETY: only read, after the gate's task
                let (lines, start) = unsafe { (lines.all(), start.all()) };
                let range = share * blocks / shares..(share + 1) * blocks / shares;
                with_task_buffers(|buffers| self.mix(&Matrices { lines, start }, range, &mut buffers.pixels));
            };
            let phases = [
                Phase { tasks: parts, backwards: false, task: &sums },
                Phase { tasks: 1, backwards: false, task: &gate },
                Phase { tasks: shares, backwards: true, task: &mix },
            ];
            phases::run(&phases, parallel);
        });
    }

    /// The unbiased variance of every channel, in real numbers, from the parts' sums.
    fn variance(&self, totals: &[u64], variance: &mut [f32]) {
        let channels = self.shape.channels();
        for (channel, variance) in variance.iter_mut().enumerate() {
            let total = |first: usize| totals[first..].iter().step_by(2 * channels).sum();
            let (sum, squares) = (total(channel), total(channels + channel));
            *variance = gate::variance(self.shape.pixels, sum, squares, self.block.x.scale);
        }
    }

    /// Adds the sum of each channel in one of `parts` parts of the pixels to `totals`, after them the sums of squares.
    fn sums(&self, part: usize, parts: usize, totals: &mut [u64]) {
        let (channels, pixels) = (self.shape.channels(), self.shape.pixels);
        let range = part * pixels / parts..(part + 1) * pixels / parts;
        let padded = channels.next_multiple_of(COLUMN);
        with_task_buffers(|TaskBuffers { sums, squares, .. }| {
            for first in range.clone().step_by(RUN) {
                let (sums, squares) = (zeroed(sums, padded), zeroed(squares, padded));
                let count = RUN.min(range.end - first);
                // SAFETY: these pixels lie within the sample, and nobody writes them yet
                let x = unsafe { slice::from_raw_parts(self.tensors.x.add(first * channels), count * channels) };
                (self.block.kernels.sums)(&mut Run { x, channels, sums: &mut *sums, squares: &mut *squares });
                let found = sums[..channels].iter().chain(&squares[..channels]);
                totals.iter_mut().zip(found).for_each(|(total, &sum)| *total += u64::from(sum));
            }
        });
    }

    /// Pixels that are mixed at a time.
    fn block_pixels(&self) -> usize {
        (BLOCK_BYTES / self.shape.channels()).next_multiple_of(8).max(16)
    }

    /// Mixes the blocks of pixels in `blocks`.
    fn mix(&self, matrices: &Matrices<'_>, blocks: Range<usize>, packed: &mut Vec<u8>) {
        let (pixels, block) = (self.shape.pixels, self.block_pixels());
        for index in blocks {
            self.mix_block(matrices, index * block..pixels.min((index + 1) * block), packed);
        }
    }

    /// Mixes all groups of the pixels in `range`.
    fn mix_block(&self, matrices: &Matrices<'_>, range: Range<usize>, packed: &mut Vec<u8>) {
        let (channels, width, count) = (self.shape.channels(), self.shape.group_width, range.len());
        let directly = width.is_multiple_of(4) && (width <= ROWS || !std::ptr::eq(self.tensors.x, self.tensors.y));
        for group in 0..self.shape.groups {
            self.prefetch(&range, group);
            let at = range.start * channels + group * width;
            // SAFETY: the group's channels of these pixels lie within the sample
            let from = unsafe { self.tensors.x.add(at) };
            let place = if directly {
                Place { at, input: from, input_stride: channels, count }
            } else {
                let packed = zeroed(packed, count * depth(width));
                // SAFETY: as above
                unsafe { pack(from, channels, width, packed) };
                Place { at, input: packed.as_ptr(), input_stride: depth(width), count }
            };
            for own in (0..width).step_by(ROWS) {
                let tile = self.tile(matrices, &place, own, group * padded_rows(width) + own);
                // SAFETY: as above, and only this task touches these pixels from now on
                unsafe { (self.block.kernels.mix)(&tile) };
            }
        }
    }

    /// Asks for the part of the next pixels that falls to `group`: the three tensors, read and written by parts of lines, are more than
    /// the processor foresees.
    fn prefetch(&self, range: &Range<usize>, group: usize) {
        let bytes = range.len() * self.shape.channels();
        let (first, groups) = (range.end * self.shape.channels(), self.shape.groups);
        let RawTensors { x, residual, y } = self.tensors;
        for at in (group * bytes / groups..(group + 1) * bytes / groups).step_by(64) {
            prefetch(x.wrapping_add(first + at));
            prefetch(y.wrapping_add(first + at));
            if !residual.is_null() {
                prefetch(residual.wrapping_add(first + at));
            }
        }
    }

    /// The panel that begins at `row`, with the group's channel `own`.
    fn tile<'t>(&'t self, matrices: &'t Matrices<'_>, place: &Place, own: usize, row: usize) -> Tile<'t> {
        let (width, block) = (self.shape.group_width, self.block);
        let at = place.at + own;
        // SAFETY: `at` lies within the sample
        let (residual, output) = unsafe {
            let RawTensors { residual, y, .. } = self.tensors;
            (if residual.is_null() { residual } else { residual.add(at) }, y.add(at))
        };
        Tile {
            weights: &matrices.lines[row / ROWS * panel_lines(width)..][..panel_lines(width)],
            depth: depth(width),
            rows: ROWS.min(width - own),
            pixels: place.count,
            input: place.input,
            input_stride: place.input_stride,
            residual,
            output,
            stride: self.shape.channels(),
            start: panel(matrices.start, row),
            scale: panel(&block.scale, row),
            offset: block.offset,
            residual_scale: block.residual_scale.unwrap_or(0.0),
            low: block.low,
        }
    }
}

/// How many tasks are made of so many pieces: enough that a thread which comes late finds some to help with.
fn tasks(parallel: &dyn Parallel, pieces: usize) -> usize {
    if parallel.threads() == 1 { 1 } else { (parallel.threads() * TASKS_PER_THREAD).min(pieces) }
}

/// Asks for the cache line at `place`, which may be anywhere.
fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: no access, and so no fault
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// A panel's rows.
fn panel<T>(rows: &[T], first: usize) -> &[T; ROWS] {
    rows[first..].first_chunk().expect("panels are whole")
}

/// Copies the first `width` of each pixel's bytes, `stride` apart, side by side into `packed`, filled up to whole quads.
///
/// # Safety
/// As many pixels as fit `packed` can be read at `from`.
unsafe fn pack(from: *const u8, stride: usize, width: usize, packed: &mut [u8]) {
    for (pixel, target) in packed.chunks_exact_mut(depth(width)).enumerate() {
        // SAFETY: the caller vouches for the bytes
        target[..width].copy_from_slice(unsafe { slice::from_raw_parts(from.add(pixel * stride), width) });
    }
}
