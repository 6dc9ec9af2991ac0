//! A batch's way through the operator: the convolution where there is one, variances, gates, mixing, each split over the threads. Samples go through it one by one, while they
//! are in the cache; together where the gate's weights are larger than a sample, and would have to be read for each anew.

use std::ops::Range;

use super::convolution::Share;
use super::kernels::Kernels;
use super::mixing::Block;
use super::packed::Packed;
use super::{Memory, PointwiseMemory};
use crate::gate::normalize;
use crate::multiply::{group, groups, widest_group};
use crate::parallel::Shared;
use crate::phases::{self, Phase};
use crate::scratch::{GateBuffers, MixBuffers, with_gate_buffers, with_mix_buffers};
use crate::vector::{prefetch, prefetch_share};
use crate::{Parallel, Parameters, Serial, Shape};

/// Rows of the gate's first layer in a task.
const ROWS: usize = 4;

/// Pixels that are mixed between two looks ahead.
const PIECE: usize = 56;

/// Numbers of pixels that are copied at once, where a group spans several blocks: about half a first-level cache.
const COPY_LEN: usize = 4 * 1024;

/// A batch and its place in memory.
pub(super) struct Batch<'a> {
    kernels: Kernels,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    packed: &'a Packed,
    memory: Memory,
    pointwise: Option<PointwiseMemory>,
    relu: bool,
}

// SAFETY: `new`'s caller lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

/// Some samples, with what their gates are made of.
struct Gating<'a> {
    samples: Range<usize>,
    /// `[samples, padded channels]`
    variance: Shared<'a, f32>,
    /// `[samples, hidden]`
    hidden: Shared<'a, f32>,
}

impl Gating<'_> {
    /// Where a sample's hidden vector of `len` numbers is.
    fn hidden_of(sample: usize, len: usize) -> Range<usize> {
        sample * len..(sample + 1) * len
    }
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
        pointwise: Option<PointwiseMemory>,
        relu: bool,
    ) -> Self {
        Self { kernels, shape, parameters, packed, memory, pointwise, relu }
    }

    /// Computes the output. Samples come backwards: what the node before wrote last is in the cache still, and the node after reads the first
    /// first.
    pub(super) fn run(&self, parallel: &dyn Parallel) {
        let (batch, threads) = (self.shape.batch, parallel.threads());
        let weights = (self.packed.fc1.len() + self.packed.fc2.len()) * size_of::<i16>();
        let together = weights > self.sample_len() * size_of::<f32>();
        let each_its_own = batch >= 4 * threads || (batch > 0 && batch.is_multiple_of(threads));
        match (each_its_own, together) {
            (true, true) => parallel.run(threads, &|thread| {
                self.samples(thread * batch / threads..(thread + 1) * batch / threads, &Serial);
            }),
            (true, false) => parallel.run(threads, &|thread| {
                let share = thread * batch / threads..(thread + 1) * batch / threads;
                share.rev().for_each(|index| self.samples(index..index + 1, &Serial));
            }),
            (false, true) => self.samples(0..batch, parallel),
            (false, false) => (0..batch).rev().for_each(|index| self.samples(index..index + 1, parallel)),
        }
    }

    /// Numbers of a sample, with those that fill up its last block.
    fn sample_len(&self) -> usize {
        self.packed.blocks() * self.packed.block * self.shape.pixels
    }

    fn samples(&self, samples: Range<usize>, parallel: &dyn Parallel) {
        with_gate_buffers(|GateBuffers { variance, hidden }| {
            let variance = Shared::new(variance.take(samples.len() * self.padded()));
            let hidden = Shared::new(hidden.take(samples.len() * self.shape.hidden));
            let gating = Gating { samples, variance, hidden };
            let (count, threads) = (gating.samples.len(), parallel.threads());
            let units = self.packed.blocks().div_ceil(self.packed.unit());
            let parts = if units * count >= threads { 1 } else { threads.div_ceil(units * count) };
            // SAFETY: a phase reads what those before it have written, and its tasks write apart
            let variances = |task| unsafe { self.variances(&gating, task) };
            let shares = self.shares_of_group(count, threads);
            let convolved = count * self.groups() * shares;
            // SAFETY: as above
            let convolve = |task| unsafe { self.convolve(&gating, task, shares, convolved) };
            // SAFETY: as above
            let project = |task| unsafe { self.project(&gating, task) };
            // SAFETY: as above
            let normalise = |sample| unsafe {
                let hidden = Gating::hidden_of(sample, self.shape.hidden);
                normalize(gating.hidden.range_mut(hidden), self.parameters);
            };
            let mix = |task| {
                // a unit's weights serve one sample after the other
                let (unit, sample, part) = (task / (count * parts), task / parts % count, task % parts);
                let pixels = part * self.shape.pixels / parts..(part + 1) * self.shape.pixels / parts;
                // SAFETY: as above
                with_mix_buffers(|buffers| unsafe { self.mix_unit(&gating, unit, sample, pixels, buffers) });
            };
            let first = match self.pointwise {
                Some(_) => Phase { tasks: convolved, backwards: false, task: &convolve },
                None => Phase { tasks: count * self.packed.blocks(), backwards: false, task: &variances },
            };
            let phases = [
                first,
                Phase { tasks: self.shape.hidden.div_ceil(ROWS), backwards: false, task: &project },
                Phase { tasks: count, backwards: false, task: &normalise },
                Phase { tasks: units * count * parts, backwards: true, task: &mix },
            ];
            phases::run(&phases, parallel);
        });
    }

    /// Channels of a sample, with those that fill up its last block.
    fn padded(&self) -> usize {
        self.packed.blocks() * self.packed.block
    }

    /// The unbiased variance of every channel of block `task`, counted through the samples.
    ///
    /// # Safety
    /// Nobody else touches these variances, nobody writes the block.
    unsafe fn variances(&self, gating: &Gating<'_>, task: usize) {
        let block = self.packed.block;
        let offset = gating.samples.start * self.sample_len() + task * block * self.shape.pixels;
        let tasks = gating.samples.len() * self.packed.blocks();
        let rows = |task: usize| task * self.shape.hidden / tasks;
        prefetch(self.packed.fc1.rows(rows(task)..rows(task + 1)));
        // SAFETY: the block lies within the batch; the variances by the caller's word
        unsafe {
            let variances = gating.variance.range_mut(task * block..(task + 1) * block);
            (self.kernels.variances)(self.memory.x.add(offset), self.shape.pixels, variances);
        }
    }

    /// Groups of outputs whose filters lie together.
    fn groups(&self) -> usize {
        groups(self.padded(), self.packed.block)
    }

    /// How many tasks share a group's outputs, so that all of `threads` have one: as few as that takes, because more at once are faster.
    fn shares_of_group(&self, samples: usize, threads: usize) -> usize {
        let most = widest_group(self.packed.block) / self.packed.block;
        let enough = |shares: &usize| samples * self.groups() * shares >= threads;
        [1, 2, 4].into_iter().filter(|shares| *shares <= most).find(enough).unwrap_or(most)
    }

    /// One of `shares` parts of a group of outputs of the convolution, counted through the samples, with the variances of its results.
    ///
    /// # Safety
    /// There is a convolution; nobody else touches these variances, nor these channels of the output.
    unsafe fn convolve(&self, gating: &Gating<'_>, task: usize, shares: usize, tasks: usize) {
        let Some(PointwiseMemory { x, inputs, filters, bias }) = self.pointwise else { return };
        let (block, pixels, outputs) = (self.packed.block, self.shape.pixels, self.padded());
        let (sample, index, share) = (task / (self.groups() * shares), task / shares % self.groups(), task % shares);
        let group = group(outputs, block, index);
        let (first, width) = (group.start, group.len());
        let [start, end] = [share, share + 1].map(|share| share * (width / block) / shares * block);
        let rows = |task: usize| task * self.shape.hidden / tasks;
        prefetch(self.packed.fc1.rows(rows(task)..rows(task + 1)));
        let whole = gating.samples.start + sample;
        // SAFETY: the pictures, the filters and the output are as large as that, by the contract of `forward_raw`; the variances by the caller's word
        unsafe {
            let variances = gating.variance.range_mut(sample * outputs + first + start..sample * outputs + first + end);
            let share = Share {
                x: x.add(whole * inputs * pixels),
                inputs,
                count: pixels,
                filters: filters.add(first * inputs),
                width,
                outputs: [start, end],
                bias: bias.add(first),
                y: self.memory.y.add(whole * self.sample_len() + first * pixels),
                addend: self.memory.addend.wrapping_add(whole * self.sample_len() + first * pixels),
            };
            with_mix_buffers(|buffers| (self.kernels.convolve)(&share, variances, &mut buffers.pixels));
        }
    }

    /// Some rows of the gates' hidden layers before their normalisation: `fc1 @ variance`. Each row of fc1 is read once for all samples.
    ///
    /// # Safety
    /// Nobody else touches these rows, nobody writes the variances.
    unsafe fn project(&self, gating: &Gating<'_>, task: usize) {
        let (rows, channels) = (self.shape.hidden, self.shape.channels());
        for row in task * ROWS..((task + 1) * ROWS).min(rows) {
            let (scale, weights) = self.packed.fc1.row(row);
            for sample in 0..gating.samples.len() {
                let first = sample * self.padded();
                // SAFETY: by the caller's word
                unsafe {
                    let variance = gating.variance.range(first..first + channels);
                    gating.hidden.write(sample * rows + row, scale * (self.kernels.dot)(weights, variance));
                }
            }
        }
    }

    /// Mixes `pixels` of the blocks of a unit. Where a block is a unit of its own, it is read where it lies; else its pixels are copied
    /// first, because the output may lie over the input.
    ///
    /// # Safety
    /// Nobody else touches these pixels, nobody writes the hidden vector.
    unsafe fn mix_unit(
        &self,
        gating: &Gating<'_>,
        unit: usize,
        sample: usize,
        pixels: Range<usize>,
        buffers: &mut MixBuffers,
    ) {
        let (width, blocks) = (self.packed.unit(), self.packed.blocks());
        let blocks = unit * width..((unit + 1) * width).min(blocks);
        // SAFETY: by the caller's word
        let hidden = unsafe { gating.hidden.range(Gating::hidden_of(sample, self.shape.hidden)) };
        let matrices = buffers.panels.take(blocks.clone().map(|index| self.packed.matrix(index).len()).sum());
        self.combine(blocks.clone(), hidden, matrices);
        let start = (gating.samples.start + sample) * self.sample_len();
        if blocks.len() == 1 {
            let at = start + (blocks.start * self.shape.pixels + pixels.start) * self.packed.block;
            // units come backwards: the weights of the one before are needed next, and are fetched meanwhile
            let next = self.gate_weights(unit.saturating_sub(1) * width..unit * width);
            for first in (0..pixels.len()).step_by(PIECE) {
                let (at, count) = (at + first * self.packed.block, PIECE.min(pixels.len() - first));
                prefetch_share(next.as_ptr(), next.len(), [first / PIECE, pixels.len().div_ceil(PIECE)]);
                // SAFETY: the pixels lie within the batch, and only this task touches them from now on
                unsafe { self.mix_block(matrices, self.memory.x.add(at), 0, blocks.start, at, count) };
            }
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

    /// The rows of fc2 for the channels of `blocks`.
    fn gate_weights(&self, blocks: Range<usize>) -> &[i16] {
        let channel = |index: usize| (index * self.packed.block).min(self.packed.channels);
        self.packed.fc2.rows(channel(blocks.start)..channel(blocks.end))
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
                let (scale, row) = self.packed.fc2.row(channel);
                let gate = self.parameters.gate_scale / (1.0 + (-scale * (self.kernels.dot)(row, hidden)).exp());
                matrix[(channel - read.start) * block + channel % block] += gate;
            }
        }
    }
}
