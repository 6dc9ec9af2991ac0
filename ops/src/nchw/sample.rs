//! One sample's way through the operator: variance, gate, mixing, each split over the threads and close together in
//! time, so that the sample is still in the cache when it is read again.

use std::ops::Range;

use super::kernels::{Kernels, Mixer};
use super::mixing::{Block, block_pixels, pack_matrix, panels_len};
use crate::gate::normalize;
use crate::parallel::Shared;
use crate::scratch::{GateBuffers, MixBuffers, with_gate_buffers, with_mix_buffers};
use crate::{Parallel, Parameters, Serial, Shape};

/// Multiply-adds below which a layer of the gate isn't worth waking a thread.
const PARALLEL_LAYER: usize = 1 << 16;

/// Channels in a group from whose rows the cache suffers, if they are read where they are.
const DIRECT_WIDTH: usize = 32;

/// Tasks for each thread in the multiplication, so that one which is late can be helped.
const TASKS_PER_THREAD: usize = 2;

/// A batch and its place in memory.
pub(super) struct Batch<'a> {
    kernels: Kernels,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    x: *const f32,
    y: *mut f32,
}

// SAFETY: `new`'s caller lets any thread read and write the memory, and tasks write disjoint parts
unsafe impl Sync for Batch<'_> {}

impl<'a> Batch<'a> {
    /// The batch of `shape.len()` elements at `x`, to be written to `y`.
    ///
    /// # Safety
    /// `parameters` fit `shape`; while the batch lives its elements can be read at `x` and
    /// written at `y` from any thread, nobody else touches them, and the two are the same or don't overlap.
    pub(super) unsafe fn new(
        kernels: Kernels,
        shape: &'a Shape,
        parameters: &'a Parameters<'a>,
        x: *const f32,
        y: *mut f32,
    ) -> Self {
        Self { kernels, shape, parameters, x, y }
    }

    /// Sample `index`, which no two threads may run at once.
    pub(super) fn sample(&self, index: usize) -> Sample<'a> {
        assert!(index < self.shape.batch);
        let Self { kernels, shape, parameters, x, y } = *self;
        let offset = index * shape.sample_len();
        // SAFETY: samples lie one after the other, so this one is within the batch
        unsafe { Sample { kernels, shape, parameters, x: x.add(offset), y: y.add(offset) } }
    }
}

/// One sample and its place in memory; what `Batch::new` asks for holds for it too.
pub(super) struct Sample<'a> {
    kernels: Kernels,
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    x: *const f32,
    y: *mut f32,
}

// SAFETY: as for `Batch`
unsafe impl Sync for Sample<'_> {}

impl Sample<'_> {
    /// Computes the sample's output.
    pub(super) fn run(&self, parallel: &dyn Parallel) {
        with_gate_buffers(|GateBuffers { variance, hidden, .. }| {
            let variance = variance.take(self.shape.channels());
            let hidden = hidden.take(self.shape.hidden);
            self.variance(variance, parallel);
            self.hidden(variance, hidden, parallel);
            self.mix(hidden, parallel);
        });
    }

    /// The unbiased variance of every channel.
    pub(super) fn variance(&self, variance: &mut [f32], parallel: &dyn Parallel) {
        let (channels, output) = (variance.len(), Shared::new(variance));
        parallel.run(channels, &|index| {
            let pixels = self.shape.pixels;
            // SAFETY: channel `index` lies within the sample, nobody writes it yet, and only this task writes its
            // variance
            unsafe {
                let channel = std::slice::from_raw_parts(self.x.add(index * pixels), pixels);
                output.write(index, (self.kernels.variance)(channel));
            }
        });
    }

    /// The gate's hidden layer: `relu(LayerNorm(fc1 @ variance))`.
    pub(super) fn hidden(&self, variance: &[f32], hidden: &mut [f32], parallel: &dyn Parallel) {
        let parallel = if self.parameters.fc1.len() < PARALLEL_LAYER { &Serial } else { parallel };
        let (rows, output) = (hidden.len(), Shared::new(&mut *hidden));
        parallel.run(rows, &|index| {
            let row = &self.parameters.fc1[index * variance.len()..][..variance.len()];
            // SAFETY: only this task writes this element
            unsafe { output.write(index, (self.kernels.dot)(row, variance)) };
        });
        normalize(hidden, self.parameters);
    }

    fn mix(&self, hidden: &[f32], parallel: &dyn Parallel) {
        let groups = self.shape.groups;
        let block = block_pixels(self.shape.group_width, self.mixer().tile_pixels);
        let blocks = self.shape.pixels.div_ceil(block);
        let parts = if groups >= parallel.threads() {
            1
        } else {
            (parallel.threads() * TASKS_PER_THREAD).div_ceil(groups).min(blocks)
        };
        parallel.run(groups * parts, &|task| {
            let (group, part) = (task / parts, task % parts);
            let range = part * blocks / parts * block..((part + 1) * blocks / parts * block).min(self.shape.pixels);
            with_mix_buffers(|buffers| self.mix_group(hidden, group, range, buffers));
        });
    }

    fn mixer(&self) -> &Mixer {
        self.kernels.mixer(self.shape.group_width)
    }

    /// Combines a group's matrix and applies it to the pixels in `range`.
    fn mix_group(&self, hidden: &[f32], group: usize, range: Range<usize>, buffers: &mut MixBuffers) {
        let (width, mixer) = (self.shape.group_width, self.mixer());
        let diagonal = buffers.diagonal.take(width);
        self.diagonal(hidden, group, diagonal);
        let panels = buffers.panels.take(panels_len(width, mixer.rows));
        let whitening = &self.parameters.whitening[group * width * width..][..width * width];
        pack_matrix(whitening, diagonal, mixer.rows, panels);
        let start = group * width * self.shape.pixels;
        if width <= mixer.rows || (width <= DIRECT_WIDTH && !std::ptr::eq(self.x, self.y)) {
            return self.mix_directly(panels, start + range.start, range.len());
        }
        let block = block_pixels(width, mixer.tile_pixels);
        let packed = buffers.pixels.take(width * block);
        for first in range.clone().step_by(block) {
            self.mix_packed(panels, start + first, block.min(range.end - first), packed);
        }
    }

    /// Mixes `count` pixels from where they are.
    fn mix_directly(&self, panels: &[f32], offset: usize, count: usize) {
        let (width, stride) = (self.shape.group_width, self.shape.pixels);
        // SAFETY: the group's rows of these pixels lie within the sample, and only this task touches them from now on
        unsafe {
            let (input, output) = (self.x.add(offset), self.y.add(offset));
            let (input_stride, output_stride) = (stride, stride);
            (self.mixer().mix)(&Block { panels, width, input, input_stride, count, output, output_stride });
        }
    }

    /// Mixes `count` pixels by way of the buffer `packed`.
    fn mix_packed(&self, panels: &[f32], offset: usize, count: usize, packed: &mut [f32]) {
        let (width, output_stride) = (self.shape.group_width, self.shape.pixels);
        let input_stride = packed.len() / width;
        // SAFETY: as in `mix_directly`
        unsafe {
            pack_pixels(self.x.add(offset), output_stride, count, packed, input_stride);
            let (input, output) = (packed.as_ptr(), self.y.add(offset));
            (self.mixer().mix)(&Block { panels, width, input, input_stride, count, output, output_stride });
        }
    }

    /// What the gate adds to the diagonal of a group's matrix: `gate_scale * sigmoid(fc2 @ hidden)`.
    pub(super) fn diagonal(&self, hidden: &[f32], group: usize, diagonal: &mut [f32]) {
        let first = group * diagonal.len();
        for (row, entry) in self.parameters.fc2.chunks_exact(hidden.len()).skip(first).zip(diagonal) {
            *entry = self.parameters.gate_scale / (1.0 + (-(self.kernels.dot)(row, hidden)).exp());
        }
    }
}

/// Copies `count` pixels of each row at `from`, `row` numbers apart, into rows of `stride` numbers.
///
/// # Safety
/// As many rows as `packed` has can be read at `from`.
unsafe fn pack_pixels(from: *const f32, row: usize, count: usize, packed: &mut [f32], stride: usize) {
    for (index, target) in packed.chunks_exact_mut(stride).enumerate() {
        // SAFETY: the caller vouches for the rows
        let source = unsafe { std::slice::from_raw_parts(from.add(index * row), count) };
        target[..count].copy_from_slice(source);
    }
}
