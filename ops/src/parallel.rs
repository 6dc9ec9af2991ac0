//! Whose threads a kernel runs on: it asks, its caller decides.

use std::ops::Range;

/// Runs tasks, on as many threads as it likes.
pub trait Parallel {
    /// How many tasks it runs at once, as far as it knows; decides how work is split, never the result.
    fn threads(&self) -> usize;

    /// Runs `task(0)` to `task(tasks - 1)`, each once and in any order, and returns when all have ended. If tasks
    /// panic, it panics once all have ended.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// Runs tasks one after the other on the caller's thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// A slice that tasks write to side by side, each its own numbers.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    _slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is a slice of plain numbers; the methods' contracts keep tasks apart.
unsafe impl<T: Copy + Send> Sync for Shared<'_, T> {}

impl<'a, T: Copy> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), _slice: std::marker::PhantomData }
    }

    /// All numbers, to read.
    ///
    /// # Safety
    /// Nobody writes them while they are borrowed.
    pub(crate) unsafe fn all(&self) -> &[T] {
        // SAFETY: the whole slice, which lives for 'a; nobody writes it by the caller's word
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// All numbers, to read and write.
    ///
    /// # Safety
    /// Nobody else has them.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps tasks apart")]
    pub(crate) unsafe fn all_mut(&self) -> &mut [T] {
        // SAFETY: as above, and nobody else reads it
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// Writes the number at `index`.
    ///
    /// # Safety
    /// No two tasks write at the same index.
    ///
    /// # Panics
    /// When the index isn't inside the slice.
    pub(crate) unsafe fn write(&self, index: usize, value: T) {
        assert!(index < self.len, "the index is inside the slice");
        // SAFETY: inside the slice as just checked, which lives for 'a; nobody else writes here by the caller's word
        unsafe { self.start.add(index).write(value) };
    }

    /// The numbers in `range`, to read.
    ///
    /// # Safety
    /// Nobody writes them while they are borrowed.
    ///
    /// # Panics
    /// When the range isn't inside the slice.
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "the range is inside the slice");
        // SAFETY: inside the slice as just checked, which lives for 'a; nobody writes here by the caller's word
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// The numbers in `range`, to read and write.
    ///
    /// # Safety
    /// Nobody else has them while they are borrowed.
    ///
    /// # Panics
    /// When the range isn't inside the slice.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps tasks apart")]
    pub(crate) unsafe fn range_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "the range is inside the slice");
        // SAFETY: inside the slice as just checked, which lives for 'a; nobody else is in the way by the caller's word
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
