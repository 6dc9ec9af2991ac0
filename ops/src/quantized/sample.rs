//! One sample's way: sums, gate, mixing, each split over the threads.

use std::ops::Range;
use std::slice;

use super::kernels::{COLUMN, RUN, Run};
use super::mixing::Tile;
use super::scratch::{Buffers, TaskBuffers, with_buffers, with_task_buffers, zeroed};
use super::weights::{ROWS, depth, padded_rows};
use super::{Block, RawTensors, gate};
use crate::gate::normalize;
use crate::parallel::Shared;
use crate::{Parallel, Parameters, Serial, Shape};

/// Multiply-adds below which a layer of the gate isn't worth waking a thread.
const PARALLEL_LAYER: usize = 1 << 16;

/// Rows of a layer that a task takes.
const LAYER_ROWS: usize = 32;

/// Fewest pixels whose sums are worth a task.
const PART_PIXELS: usize = 64;

/// Bytes of X that are mixed at a time: with the residual and the output they fit a first-level cache.
const BLOCK_BYTES: usize = 8 * 1024;

/// Tasks for each thread in the mixing, so that one which is late can be helped.
const TASKS_PER_THREAD: usize = 2;

/// A batch and its place in memory.
pub(super) struct Batch<'a> {
    block: &'a Block,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    tensors: RawTensors,
}

// SAFETY: `new`'s caller lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

impl<'a> Batch<'a> {
    /// # Safety
    /// Weights and parameters fit `shape`; the memory is as `Block::forward_raw` asks, for as long as the batch lives.
    pub(super) unsafe fn new(
        block: &'a Block,
        shape: &'a Shape,
        parameters: &'a Parameters<'a>,
        tensors: RawTensors,
    ) -> Self {
        Self { block, shape, parameters, tensors }
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
        Sample { block: self.block, shape: self.shape, parameters: self.parameters, tensors }
    }
}

/// One sample and its place in memory; what `Batch::new` asks for holds for it too.
pub(super) struct Sample<'a> {
    block: &'a Block,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
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

/// What the gate makes of a sample, by row of the panels.
struct Rows<'a> {
    gate: &'a [f32],
    offset: &'a [f32],
}

impl Sample<'_> {
    /// Computes the sample's output.
    pub(super) fn run(&self, parallel: &dyn Parallel) {
        with_buffers(|Buffers { totals, variance, hidden, gate, offset }| {
            let variance = zeroed(variance, self.shape.channels());
            let hidden = zeroed(hidden, self.shape.hidden);
            self.variance(totals, variance, parallel);
            self.layer(self.parameters.fc1, variance, hidden, parallel);
            normalize(hidden, self.parameters);
            // the variance isn't needed any more: its place takes the gate's logits
            self.layer(self.parameters.fc2, hidden, variance, parallel);
            let rows = self.block.weights.rows();
            let (gate, offset) = (zeroed(gate, rows), zeroed(offset, rows));
            self.fill_rows(variance, gate, offset);
            self.mix(&Rows { gate, offset }, parallel);
        });
    }

    /// The unbiased variance of every channel, in real numbers.
    fn variance(&self, totals: &mut Vec<u64>, variance: &mut [f32], parallel: &dyn Parallel) {
        let (channels, pixels) = (self.shape.channels(), self.shape.pixels);
        let parts = parallel.threads().clamp(1, pixels.div_ceil(PART_PIXELS));
        let totals = zeroed(totals, parts * 2 * channels);
        let output = Shared::new(totals);
        parallel.run(parts, &|part| {
            // SAFETY: only this task touches its part
            let totals = unsafe { output.range(part * 2 * channels..(part + 1) * 2 * channels) };
            self.sums(part * pixels / parts..(part + 1) * pixels / parts, totals);
        });
        let scale = self.block.edges.x.scale;
        for (channel, variance) in variance.iter_mut().enumerate() {
            let total = |first: usize| totals[first..].iter().step_by(2 * channels).sum();
            *variance = gate::variance(pixels, total(channel), total(channels + channel), scale);
        }
    }

    /// Adds the sum of each channel of the pixels in `range` to `totals`, after them the sums of squares.
    fn sums(&self, range: Range<usize>, totals: &mut [u64]) {
        let channels = self.shape.channels();
        let padded = channels.next_multiple_of(COLUMN);
        with_task_buffers(|TaskBuffers { sums, squares, .. }| {
            for first in range.clone().step_by(RUN) {
                let (sums, squares) = (zeroed(sums, padded), zeroed(squares, padded));
                let count = RUN.min(range.end - first);
                // SAFETY: these pixels lie within the sample, and nobody writes them yet
                let x = unsafe { slice::from_raw_parts(self.tensors.x.add(first * channels), count * channels) };
                (self.block.kernels.sums)(Run { x, channels, sums, squares });
                let found = sums[..channels].iter().chain(&squares[..channels]);
                totals.iter_mut().zip(found).for_each(|(total, &sum)| *total += u64::from(sum));
            }
        });
    }

    /// `matrix @ input`, `[output.len(), input.len()]`.
    fn layer(&self, matrix: &[f32], input: &[f32], output: &mut [f32], parallel: &dyn Parallel) {
        let parallel = if matrix.len() < PARALLEL_LAYER { &Serial } else { parallel };
        let (rows, output) = (output.len(), Shared::new(output));
        parallel.run(rows.div_ceil(LAYER_ROWS), &|task| {
            for row in task * LAYER_ROWS..rows.min((task + 1) * LAYER_ROWS) {
                let value = (self.block.kernels.dot)(&matrix[row * input.len()..][..input.len()], input);
                // SAFETY: only this task writes its rows
                unsafe { output.write(row, value) };
            }
        });
    }

    /// From the gate's logits by channel to what each row is multiplied with and what is added to it, in steps of Y.
    fn fill_rows(&self, logits: &[f32], gate: &mut [f32], offset: &mut [f32]) {
        let (edges, width) = (&self.block.edges, self.shape.group_width);
        let step = edges.x.scale / edges.y.scale;
        let residual = edges.residual.map_or(0.0, |of| of.scale / edges.y.scale * f32::from(of.zero_point));
        for (channel, logit) in logits.iter().enumerate() {
            let row = channel / width * padded_rows(width) + channel % width;
            gate[row] = self.parameters.gate_scale / (1.0 + (-logit).exp()) * step;
            offset[row] = f32::from(edges.y.zero_point) - residual - f32::from(edges.x.zero_point) * gate[row];
        }
    }

    fn mix(&self, rows: &Rows<'_>, parallel: &dyn Parallel) {
        let (channels, pixels) = (self.shape.channels(), self.shape.pixels);
        let block = (BLOCK_BYTES / channels).next_multiple_of(8).max(16);
        let blocks = pixels.div_ceil(block);
        let tasks = if parallel.threads() == 1 { 1 } else { (parallel.threads() * TASKS_PER_THREAD).min(blocks) };
        parallel.run(tasks, &|task| {
            with_task_buffers(|buffers| {
                for index in task * blocks / tasks..(task + 1) * blocks / tasks {
                    self.mix_block(rows, index * block..pixels.min((index + 1) * block), &mut buffers.pixels);
                }
            });
        });
    }

    /// Mixes all groups of the pixels in `range`.
    fn mix_block(&self, rows: &Rows<'_>, range: Range<usize>, packed: &mut Vec<u8>) {
        let (channels, width, count) = (self.shape.channels(), self.shape.group_width, range.len());
        let directly = width.is_multiple_of(4) && (width <= ROWS || !std::ptr::eq(self.tensors.x, self.tensors.y));
        for group in 0..self.shape.groups {
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
                let tile = self.tile(rows, &place, own, group * padded_rows(width) + own);
                // SAFETY: as above, and only this task touches these pixels from now on
                unsafe { (self.block.kernels.mix)(&tile) };
            }
        }
    }

    /// The panel that begins at `row`, with the group's channel `own`.
    fn tile<'t>(&'t self, rows: &'t Rows<'_>, place: &Place, own: usize, row: usize) -> Tile<'t> {
        let (width, block) = (self.shape.group_width, self.block);
        let at = place.at + own;
        // SAFETY: `at` lies within the sample
        let (residual, output) = unsafe {
            let RawTensors { residual, y, .. } = self.tensors;
            (if residual.is_null() { residual } else { residual.add(at) }, y.add(at))
        };
        Tile {
            weights: block.weights.panel(row),
            depth: depth(width),
            rows: ROWS.min(width - own),
            pixels: place.count,
            input: place.input,
            input_stride: place.input_stride,
            own,
            residual,
            output,
            stride: self.shape.channels(),
            start: panel(&block.start, row),
            scale: panel(&block.scale, row),
            gate: panel(rows.gate, row),
            offset: panel(rows.offset, row),
            residual_scale: block.residual_scale,
            low: block.low,
        }
    }
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
