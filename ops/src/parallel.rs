//! Whose threads a kernel runs on: it asks, its caller decides.

/// Runs tasks, on as many threads as it likes.
pub trait Parallel {
    /// Runs `task(0)` to `task(tasks - 1)`, each once and in any order, and returns when all have ended. If tasks panic,
    /// it panics once all have ended.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// Runs tasks one after the other on the caller's thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// A slice that tasks write to side by side, each its own part.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    _slice: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a slice of plain numbers; `part`'s contract keeps parts in use apart.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), _slice: std::marker::PhantomData }
    }

    /// The `len` numbers from `from` on.
    ///
    /// # Safety
    /// No two parts in use at the same time overlap.
    ///
    /// # Panics
    /// When the part isn't inside the slice.
    #[expect(clippy::mut_from_ref, reason = "parts are disjoint by contract")]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "the part is inside the slice");
        // SAFETY: inside the slice as just checked, which lives for 'a; disjoint from other parts by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}
