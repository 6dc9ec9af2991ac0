//! The inner loops compiled for each instruction set and width of block.

use super::convolution::{self, Share};
use super::mixing::{self, Block};
use super::variance;
use crate::scratch::Buffer;
use crate::vector::{Plain, Vector};
use crate::{InstructionSet, sums};

/// The inner loops for an instruction set that this machine has, and a width of block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Unbiased variances of the channels of one block, of at least two pixels.
    ///
    /// # Safety
    /// As of [`variance::variances`], but for the instructions.
    pub(super) variances: unsafe fn(*const f32, usize, &mut [f32]),
    /// Results and unbiased variances of some outputs of a 1x1 convolution.
    ///
    /// # Safety
    /// As of [`convolution::convolve`], but for the instructions.
    pub(super) convolve: unsafe fn(&Share, &mut [f32], &mut Buffer),
    /// Scalar product of two slices of one length.
    pub(super) dot: fn(&[i16], &[f32]) -> f32,
    /// Mixes pixels into one block of channels.
    ///
    /// # Safety
    /// As of [`mixing::mix`], but for the instructions.
    pub(super) mix: unsafe fn(&Block<'_>),
}

/// Functions compiled for some target features, and their table: a block takes so many registers, and so many pixels are
/// summed at once when they are mixed, for so many registers of outputs when they are convolved.
macro_rules! compiled_for {
    ($module:ident, $vector:ty, $registers:literal, $pixels:literal, $columns:literal, $($feature:literal)?) => {
        mod $module {
            use super::{Block, Buffer, Kernels, Share, Vector, convolution, mixing, sums, variance};

            const BLOCK: usize = <$vector>::LANES * $registers;
            const _: () = assert!(BLOCK <= super::super::MAX_BLOCK);

            $(#[target_feature(enable = $feature)])?
            unsafe fn variances(pixels: *const f32, count: usize, variances: &mut [f32]) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { variance::variances::<$vector, $registers>(pixels, count, variances) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn convolve(share: &Share, variances: &mut [f32], buffer: &mut Buffer) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { convolution::convolve::<$vector, BLOCK, $columns>(share, variances, buffer) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dot(a: &[i16], b: &[f32]) -> f32 {
                // SAFETY: the instructions are there by the caller's word
                unsafe { sums::dot_whole::<$vector>(a, b) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn mix(block: &Block<'_>) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { mixing::mix::<$vector, $registers, $pixels>(block) }
            }

            /// Given out only by `Kernels::of`, on a machine that has the instructions.
            pub(super) const KERNELS: Kernels = Kernels {
                variances,
                convolve,
                // SAFETY: see above
                dot: |a, b| unsafe { dot(a, b) },
                mix,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(avx512_16, std::arch::x86_64::__m512, 1, 14, 4, "avx512f");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2_16, std::arch::x86_64::__m256, 2, 6, 2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2_8, std::arch::x86_64::__m256, 1, 12, 2, "avx2,fma");
compiled_for!(portable_16, super::Plain, 4, 2, 2,);
compiled_for!(portable_8, super::Plain, 2, 4, 2,);

impl Kernels {
    /// The loops for `set`, or the nearest to it that this machine has and that fits `block`, which is 8 or 16.
    pub(super) fn of(set: InstructionSet, block: usize) -> Self {
        match (set, block) {
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx512, 16) if set.is_available() => avx512_16::KERNELS,
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx512 | InstructionSet::Avx2, 16) if InstructionSet::Avx2.is_available() => {
                avx2_16::KERNELS
            }
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx512 | InstructionSet::Avx2, _) if InstructionSet::Avx2.is_available() => {
                avx2_8::KERNELS
            }
            (_, 16) => portable_16::KERNELS,
            _ => portable_8::KERNELS,
        }
    }
}
