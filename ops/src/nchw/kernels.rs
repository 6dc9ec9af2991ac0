//! The inner loops compiled for each instruction set, behind safe functions.

use super::loops::{self, Group};
use super::vector::Plain;
use crate::InstructionSet;

/// The inner loops for an instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Unbiased variance of at least two numbers.
    pub(super) variance: fn(&[f32]) -> f32,
    /// Scalar product of two slices of one length.
    pub(super) dot: fn(&[f32], &[f32]) -> f32,
    /// Mixes one group's channels.
    pub(super) mix: fn(&mut Group<'_>),
}

/// Functions compiled for some target features, and a table of safe ones around them.
macro_rules! compiled_for {
    ($module:ident, $vector:ty, $($feature:literal)?) => {
        mod $module {
            use super::{Group, Kernels, loops};

            $(#[target_feature(enable = $feature)])?
            unsafe fn variance(values: &[f32]) -> f32 {
                // SAFETY: the instructions are there by the caller's word
                unsafe { loops::variance::<$vector>(values) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
                // SAFETY: the instructions are there by the caller's word
                unsafe { loops::dot::<$vector>(a, b) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn mix(group: &mut Group<'_>) {
                // SAFETY: the instructions are there by the caller's word
                unsafe { loops::mix::<$vector>(group) }
            }

            /// Given out only by `Kernels::of`, on a machine that has the instructions.
            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: see above
                variance: |values| unsafe { variance(values) },
                // SAFETY: see above
                dot: |a, b| unsafe { dot(a, b) },
                // SAFETY: see above
                mix: |group| unsafe { mix(group) },
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(avx512, std::arch::x86_64::__m512, "avx512f");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2, std::arch::x86_64::__m256, "avx2,fma");
compiled_for!(portable, super::Plain,);

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
}
