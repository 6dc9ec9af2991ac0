//! The inner loops by instruction set, and how weights are packed for them.

use super::mixing::Tile;
use super::portable;
use super::weights::Line;
#[cfg(target_arch = "x86_64")]
use super::{avx2, vnni};
use crate::InstructionSet;

/// Most pixels whose sums fit 32 bits.
pub(super) const RUN: usize = 1 << 15;

/// Channels to whose multiple the buffers of sums are filled up.
pub(super) const COLUMN: usize = 64;

/// Partial sums of a scalar product: number `i` goes to sum `i % LANES`. In the end the upper half is added to the lower, until one
/// is left.
pub(super) const LANES: usize = 64;

/// Pixels of one run, and where their sums go.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// `[pixels, channels]`
    pub(super) x: &'a [u8],
    pub(super) channels: usize,
    /// By channel, filled up to whole columns; added to.
    pub(super) sums: &'a mut [u32],
    /// Sums of squares, likewise.
    pub(super) squares: &'a mut [u32],
}

/// The inner loops for an instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Adds up each channel of at most [`RUN`] pixels.
    pub(super) sums: fn(&mut Run<'_>),
    /// Scalar product of two slices of one length, in the order that [`LANES`] says.
    pub(super) dot: fn(&[i16], &[f32]) -> f32,
    /// Mixes one panel's channels of a few pixels.
    ///
    /// # Safety
    /// As [`Tile`] says.
    pub(super) mix: unsafe fn(&Tile<'_>),
}

impl Kernels {
    /// The loops for `set`, or the next best that this machine has.
    pub(super) fn of(set: InstructionSet) -> Self {
        match Packing::of(set) {
            #[cfg(target_arch = "x86_64")]
            Packing::Quads => vnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Packing::Pairs if set != InstructionSet::Portable && InstructionSet::Avx2.is_available() => avx2::KERNELS,
            _ => portable::KERNELS,
        }
    }
}

/// How 16-bit weights lie in a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Two lines for four columns: the upper bytes of 16 rows by 4 columns, then the lower, signed as well.
    Quads,
    /// A line for two columns: 16 rows by 2 columns.
    Pairs,
}

impl Packing {
    pub(super) fn of(set: InstructionSet) -> Self {
        if set == InstructionSet::Avx512 && has_vnni() { Self::Quads } else { Self::Pairs }
    }

    /// Writes the entry at `row`, `column` of the panel that `lines` begin with.
    pub(super) fn put(self, lines: &mut [Line], row: usize, column: usize, integer: i16) {
        match self {
            Self::Quads => {
                let upper = (i32::from(integer) + 128) >> 8;
                let lower = i32::from(integer) - (upper << 8);
                let (quad, at) = (column / 4, row * 4 + column % 4);
                lines[2 * quad].0[at] = upper as u8;
                lines[2 * quad + 1].0[at] = lower as u8;
            }
            Self::Pairs => {
                let at = row * 4 + column % 2 * 2;
                lines[column / 2].0[at..at + 2].copy_from_slice(&integer.to_ne_bytes());
            }
        }
    }
}

/// Whether this machine has what `vnni` is compiled for.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vnni() -> bool {
    false
}
