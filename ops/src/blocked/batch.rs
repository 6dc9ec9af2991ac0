//! A batch's way through the operator: variances, gates, mixing, each split over the threads. Samples go through it one by one, while they
//! are in the cache; together where the gate's weights are larger than a sample, and would have to be read for each anew.

use std::ops::Range;

use super::kernels::Kernels;
use super::mixing::Block;
use super::packed::Packed;
use super::{MAX_BLOCK, Memory};
use crate::gate::normalize;
use crate::parallel::Shared;
use crate::scratch::{GateBuffers, MixBuffers, with_gate_buffers, with_mix_buffers};
use crate::{Parallel, Parameters, Serial, Shape};

/// Multiply-adds below which a layer of the gate isn't worth waking a thread.
const PARALLEL_LAYER: usize = 1 << 16;

/// Numbers of pixels that are copied at once, where a group spans several blocks: about half a first-level cache.
const COPY_LEN: usize = 4 * 1024;

/// A batch and its place in memory.
pub(super) struct Batch<'a> {
    kernels: Kernels,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    packed: &'a Packed,
    memory: Memory,
    relu: bool,
}

// SAFETY: `new`'s caller lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

/// Some samples with their gates' hidden vectors.
struct Gated<'a> {
    samples: Range<usize>,
    hidden: &'a [f32],
}

impl<'a> Batch<'a> {
    /// The batch in `memory`.
    ///
    /// # Safety
    /// `parameters` and `packed` fit `shape`; while the batch lives, `memory` is as `forward_raw` asks for.
    pub(super) unsafe fn new(
        kernels: Kernels,
        shape: &'a Shape,
        parameters: &'a Parameters<'a>,
        packed: &'a Packed,
        memory: Memory,
        relu: bool,
    ) -> Self {
        Self { kernels, shape, parameters, packed, memory, relu }
    }

    /// Computes the output.
    pub(super) fn run(&self, parallel: &dyn Parallel) {
        let (batch, threads) = (self.shape.batch, parallel.threads());
        let together = self.parameters.fc1.len() + self.parameters.fc2.len() > self.sample_len();
        let each_its_own = batch >= 4 * threads || (batch > 0 && batch.is_multiple_of(threads));
        match (each_its_own, together) {
            (true, true) => parallel.run(threads, &|thread| {
                self.samples(thread * batch / threads..(thread + 1) * batch / threads, &Serial);
            }),
            (true, false) => parallel.run(batch, &|index| self.samples(index..index + 1, &Serial)),
            (false, true) => self.samples(0..batch, parallel),
            (false, false) => (0..batch).for_each(|index| self.samples(index..index + 1, parallel)),
        }
    }

    /// Numbers of a sample, with those that fill up its last block.
    fn sample_len(&self) -> usize {
        self.packed.blocks() * self.packed.block * self.shape.pixels
    }

    fn samples(&self, samples: Range<usize>, parallel: &dyn Parallel) {
        with_gate_buffers(|GateBuffers { variance, hidden }| {
            let variance = variance.take(samples.len() * self.packed.blocks() * self.packed.block);
            let hidden = hidden.take(samples.len() * self.shape.hidden);
            self.variances(&samples, variance, parallel);
            self.hidden(&samples, variance, hidden, parallel);
            self.mix(&Gated { samples, hidden }, parallel);
        });
    }

    /// The unbiased variance of every channel, each sample's blocks one after the other.
    fn variances(&self, samples: &Range<usize>, variance: &mut [f32], parallel: &dyn Parallel) {
        let (block, blocks) = (self.packed.block, self.packed.blocks());
        let output = Shared::new(variance);
        parallel.run(samples.len() * blocks, &|task| {
            let offset = samples.start * self.sample_len() + task * block * self.shape.pixels;
            let mut own = [0.0; MAX_BLOCK];
            // SAFETY: the block lies within the batch, nobody writes it yet, and only this task writes its variances
            unsafe {
                (self.kernels.variances)(self.memory.x.add(offset), self.shape.pixels, &mut own[..block]);
                own[..block].iter().enumerate().for_each(|(lane, value)| output.write(task * block + lane, *value));
            }
        });
    }

    /// The gates' hidden layers: `relu(LayerNorm(fc1 @ variance))`. Each row of fc1 is read once for all samples.
    fn hidden(&self, samples: &Range<usize>, variance: &[f32], hidden: &mut [f32], parallel: &dyn Parallel) {
        let parallel = if self.parameters.fc1.len() < PARALLEL_LAYER { &Serial } else { parallel };
        let (rows, channels) = (self.shape.hidden, self.shape.channels());
        let stride = variance.len() / samples.len().max(1);
        let output = Shared::new(&mut *hidden);
        parallel.run(rows, &|row| {
            let weights = &self.parameters.fc1[row * channels..][..channels];
            for (sample, variance) in variance.chunks_exact(stride).enumerate() {
                let value = (self.kernels.dot)(weights, &variance[..channels]);
                // SAFETY: only this task writes this element
                unsafe { output.write(sample * rows + row, value) };
            }
        });
        hidden.chunks_exact_mut(rows).for_each(|hidden| normalize(hidden, self.parameters));
    }

    fn mix(&self, gated: &Gated<'_>, parallel: &dyn Parallel) {
        let units = self.packed.blocks().div_ceil(self.packed.unit());
        let (samples, threads) = (gated.samples.len(), parallel.threads());
        let parts = if units * samples >= threads { 1 } else { threads.div_ceil(units * samples) };
        let tasks = units * samples * parts;
        parallel.run(tasks, &|task| {
            let task = reversed_within(task, tasks, threads);
            // a unit's weights serve one sample after the other
            let (unit, sample, part) = (task / (samples * parts), task / parts % samples, task % parts);
            let pixels = part * self.shape.pixels / parts..(part + 1) * self.shape.pixels / parts;
            with_mix_buffers(|buffers| self.mix_unit(gated, unit, sample, pixels, buffers));
        });
    }

    /// Mixes `pixels` of the blocks of a unit. Where a block is a unit of its own, it is read where it lies; else its pixels are copied
    /// first, because the output may lie over the input.
    fn mix_unit(&self, gated: &Gated<'_>, unit: usize, sample: usize, pixels: Range<usize>, buffers: &mut MixBuffers) {
        let (width, blocks) = (self.packed.unit(), self.packed.blocks());
        let blocks = unit * width..((unit + 1) * width).min(blocks);
        let hidden = &gated.hidden[sample * self.shape.hidden..][..self.shape.hidden];
        let matrices = buffers.panels.take(blocks.clone().map(|index| self.packed.matrix(index).len()).sum());
        self.combine(blocks.clone(), hidden, matrices);
        let start = (gated.samples.start + sample) * self.sample_len();
        if blocks.len() == 1 {
            let at = start + (blocks.start * self.shape.pixels + pixels.start) * self.packed.block;
            // SAFETY: the pixels lie within the batch, and only this task touches them from now on
            unsafe { self.mix_block(matrices, self.memory.x.add(at), 0, blocks.start, at, pixels.len()) };
            return;
        }
        let step = (COPY_LEN / (blocks.len() * self.packed.block)).max(1);
        let copy = buffers.pixels.take(step * blocks.len() * self.packed.block);
        for first in pixels.clone().step_by(step) {
            self.mix_copied(&blocks, start, first..(first + step).min(pixels.end), matrices, copy);
        }
    }

    /// Mixes some pixels of a unit's blocks, of the sample that starts at `start`, by way of `copy`.
    fn mix_copied(
        &self,
        blocks: &Range<usize>,
        start: usize,
        pixels: Range<usize>,
        matrices: &[f32],
        copy: &mut [f32],
    ) {
        let (block, stride) = (self.packed.block, pixels.len() * self.packed.block);
        let offset = |index: usize| start + (index * self.shape.pixels + pixels.start) * block;
        for (index, target) in blocks.clone().zip(copy.chunks_exact_mut(stride)) {
            // SAFETY: the pixels lie within the batch, and nobody but this task writes them
            target.copy_from_slice(unsafe { std::slice::from_raw_parts(self.memory.x.add(offset(index)), stride) });
        }
        let mut rest = matrices;
        for index in blocks.clone() {
            let (matrix, others) = rest.split_at(self.packed.matrix(index).len());
            rest = others;
            let read_from = self.packed.read_by(index).start / block - blocks.start;
            let input = copy[read_from * stride..].as_ptr();
            // SAFETY: the copies hold all that the unit's groups are made of; the output lies within the batch, and only this task writes it
            unsafe { self.mix_block(matrix, input, stride, index, offset(index), pixels.len()) };
        }
    }

    /// Mixes `count` pixels into block `index`, at `at` in the output.
    ///
    /// # Safety
    /// The channels that the block is made of can be read at `input`, the pixels in the output be written.
    unsafe fn mix_block(
        &self,
        matrix: &[f32],
        input: *const f32,
        input_stride: usize,
        index: usize,
        at: usize,
        count: usize,
    ) {
        let first = self.packed.read_by(index).start % self.packed.block;
        let Memory { addend, y, .. } = self.memory;
        // SAFETY: the input by the caller's word; the addend is as large as the output
        unsafe {
            let addend = if addend.is_null() { addend } else { addend.add(at) };
            let (relu, output) = (self.relu, y.add(at));
            (self.kernels.mix)(&Block { matrix, input, first, input_stride, count, addend, relu, output });
        }
    }

    /// The whitening of `blocks` with the gates on its diagonal: `gate_scale * sigmoid(fc2 @ hidden)`.
    fn combine(&self, blocks: Range<usize>, hidden: &[f32], matrices: &mut [f32]) {
        let (block, mut at) = (self.packed.block, 0);
        for index in blocks {
            let (whitening, read) = (self.packed.matrix(index), self.packed.read_by(index));
            let matrix = &mut matrices[at..][..whitening.len()];
            at += whitening.len();
            matrix.copy_from_slice(whitening);
            for channel in index * block..((index + 1) * block).min(self.packed.channels) {
                let row = &self.parameters.fc2[channel * hidden.len()..][..hidden.len()];
                let gate = self.parameters.gate_scale / (1.0 + (-(self.kernels.dot)(row, hidden)).exp());
                matrix[(channel - read.start) * block + channel % block] += gate;
            }
        }
    }
}

/// Task `task` of `tasks`, were each thread's share of neighbouring tasks turned around: what a thread touched last is in its cache still, and
/// comes first.
fn reversed_within(task: usize, tasks: usize, threads: usize) -> usize {
    let threads = threads.clamp(1, tasks);
    // the last share that starts at the task or before
    let share = ((task + 1) * threads - 1) / tasks;
    let (start, end) = (share * tasks / threads, (share + 1) * tasks / threads);
    start + end - 1 - task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_is_turned_around() {
        let order = |tasks, threads| (0..tasks).map(|task| reversed_within(task, tasks, threads)).collect::<Vec<_>>();
        assert_eq!(order(5, 1), [4, 3, 2, 1, 0]);
        assert_eq!(order(5, 2), [1, 0, 4, 3, 2]);
        assert_eq!(order(2, 3), [0, 1]);
        for (tasks, threads) in [(1, 1), (7, 3), (64, 5), (9, 9), (100, 16)] {
            let mut all = order(tasks, threads);
            all.sort_unstable();
            assert!(all.into_iter().eq(0..tasks), "{tasks} tasks, {threads} threads");
        }
    }
}
