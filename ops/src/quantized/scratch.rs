//! Buffers that each thread keeps between calls.

use std::cell::RefCell;

use super::weights::Line;

/// What a sample needs; held by the thread that has the sample.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Sums and sums of squares by part and channel.
    pub(super) totals: Vec<u64>,
    /// By channel: first the variance, then the gate.
    pub(super) channels: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    /// The sample's own matrices.
    pub(super) lines: Vec<Line>,
    /// By row of the panels.
    pub(super) start: Vec<i32>,
}

/// What a task needs.
#[derive(Debug, Default)]
pub(super) struct TaskBuffers {
    pub(super) sums: Vec<u32>,
    pub(super) squares: Vec<u32>,
    pub(super) pixels: Vec<u8>,
}

thread_local! {
    static SAMPLE: RefCell<Buffers> = RefCell::default();
    static TASK: RefCell<TaskBuffers> = RefCell::default();
}

/// Runs `work` with this thread's buffers for a sample, taken out meanwhile: a pool may run other work on this thread.
pub(super) fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    let mut buffers = SAMPLE.take();
    let result = work(&mut buffers);
    SAMPLE.set(buffers);
    result
}

/// The same for a task.
pub(super) fn with_task_buffers<T>(work: impl FnOnce(&mut TaskBuffers) -> T) -> T {
    let mut buffers = TASK.take();
    let result = work(&mut buffers);
    TASK.set(buffers);
    result
}

/// The first `len` numbers of a growing buffer, zeroed.
pub(super) fn zeroed<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    buffer.clear();
    buffer.resize(len, T::default());
    buffer
}
