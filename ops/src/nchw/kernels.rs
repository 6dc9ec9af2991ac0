//! The inner loops compiled for each instruction set.

use super::mixing::{self, Block};
use crate::vector::{Plain, Vector};
use crate::{InstructionSet, sums};

/// The inner loops for an instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Unbiased variance of at least two numbers.
    pub(super) variance: fn(&[f32]) -> f32,
    /// Scalar product of two slices of one length.
    pub(super) dot: fn(&[f32], &[f32]) -> f32,
    /// For groups of at most its rows, which it takes all at once.
    narrow: Mixer,
    /// For all others.
    wide: Mixer,
}

/// The mixing loop with so many sums in registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixer {
    /// Mixes one block of pixels of a group.
    ///
    /// # Safety
    /// As of [`mixing::mix`], but for the instructions.
    pub(super) mix: unsafe fn(&Block<'_>),
    /// Rows in a panel of the combined matrix, as `mix` reads it.
    pub(super) rows: usize,
    /// Pixels that it takes at once: blocks are multiples of it.
    pub(super) tile_pixels: usize,
}

/// Functions compiled for some target features, and their table. The mixers hold rows by
/// registers of sums at once.
macro_rules! compiled_for {
    ($module:ident, $vector:ty, $narrow:literal x 1, $rows:literal x $registers:literal, $($feature:literal)?) => {
        mod $module {
            use super::{Block, Kernels, Mixer, Vector, mixing, sums};

            $(#[target_feature(enable = $feature)])?
            unsafe fn variance(values: &[f32]) -> f32 {
                // SAFETY: the instructions are there by the caller's word
                unsafe { sums::variance::<$vector>(values) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
                // SAFETY: the instructions are there by the caller's word
                unsafe { sums::dot::<$vector>(a, b) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn mix_narrow(block: &Block<'_>) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { mixing::mix::<$vector, $narrow, 1>(block) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn mix_wide(block: &Block<'_>) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { mixing::mix::<$vector, $rows, $registers>(block) }
            }

            /// Given out only by `Kernels::of`, on a machine that has the instructions.
            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: see above
                variance: |values| unsafe { variance(values) },
                // SAFETY: see above
                dot: |a, b| unsafe { dot(a, b) },
                narrow: Mixer {
                    mix: mix_narrow,
                    rows: $narrow,
                    tile_pixels: <$vector>::LANES,
                },
                wide: Mixer {
                    mix: mix_wide,
                    rows: $rows,
                    tile_pixels: $registers * <$vector>::LANES,
                },
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(avx512, std::arch::x86_64::__m512, 16 x 1, 8 x 3, "avx512f");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2, std::arch::x86_64::__m256, 8 x 1, 4 x 3, "avx2,fma");
compiled_for!(portable, super::Plain, 8 x 1, 4 x 2,);

impl Kernels {
    /// The loops for `set`, or the portable ones where this machine doesn't have it.
    pub(super) fn of(set: InstructionSet) -> Self {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 if set.is_available() => avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 if set.is_available() => avx2::KERNELS,
            _ => portable::KERNELS,
        }
    }

    /// The faster mixer for groups of `width` channels.
    pub(super) fn mixer(&self, width: usize) -> &Mixer {
        if width <= self.narrow.rows { &self.narrow } else { &self.wide }
    }
}
