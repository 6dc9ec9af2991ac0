//! Buffers that each thread keeps between calls, so that a call allocates nothing once they have grown.

use std::cell::RefCell;
use std::thread::LocalKey;

/// A cache line; a buffer of them starts at a line's start.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// A growing buffer of numbers, aligned to cache lines.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// The first `len` numbers, with whatever an earlier call left in them.
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; LINE]));
        }
        // SAFETY: a line is exactly `LINE` numbers, so there are at least `len` of them, all initialised
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// What a sample's gate needs; held by the thread that has the sample.
#[derive(Debug, Default)]
pub(crate) struct GateBuffers {
    pub(crate) variance: Buffer,
    pub(crate) hidden: Buffer,
}

/// What the mixing of a group needs; held by each thread that mixes.
#[derive(Debug, Default)]
pub(crate) struct MixBuffers {
    pub(crate) diagonal: Buffer,
    pub(crate) panels: Buffer,
    pub(crate) pixels: Buffer,
}

/// What a convolution's tiles need; held by each thread that has some.
#[derive(Debug, Default)]
pub(crate) struct TileBuffers {
    pub(crate) pixels: Buffer,
    pub(crate) sums: Buffer,
}

thread_local! {
    static GATE: RefCell<GateBuffers> = RefCell::default();
    static MIX: RefCell<MixBuffers> = RefCell::default();
    static TILES: RefCell<TileBuffers> = RefCell::default();
}

/// Runs `work` with this thread's buffers for a gate.
pub(crate) fn with_gate_buffers<T>(work: impl FnOnce(&mut GateBuffers) -> T) -> T {
    with_taken(&GATE, work)
}

/// Runs `work` with this thread's buffers for mixing.
pub(crate) fn with_mix_buffers<T>(work: impl FnOnce(&mut MixBuffers) -> T) -> T {
    with_taken(&MIX, work)
}

/// Runs `work` with this thread's buffers for tiles.
pub(crate) fn with_tile_buffers<T>(work: impl FnOnce(&mut TileBuffers) -> T) -> T {
    with_taken(&TILES, work)
}

/// The buffers are taken out meanwhile, so that a pool which runs other work on this thread finds the place free.
fn with_taken<B: Default, T>(place: &'static LocalKey<RefCell<B>>, work: impl FnOnce(&mut B) -> T) -> T {
    let mut buffers = place.take();
    let result = work(&mut buffers);
    place.set(buffers);
    result
}
