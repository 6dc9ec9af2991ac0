//! The loops compiled for each instruction set, width of block and size of tile.

use std::ops::Range;

use super::Tile;
use super::tiles::{Batch, run};
use super::transform::{Four, One, StridedTwo, Three, Two};
use super::{pointwise, stem};
use crate::InstructionSet;
use crate::scratch::TileBuffers;
use crate::vector::Plain;

/// Computes the results of some tiles for some groups of outputs.
///
/// # Safety
/// As of [`run`], but for the instructions.
pub(super) type Kernel = unsafe fn(&Batch<'_>, Range<usize>, Range<usize>, &mut TileBuffers);

/// A function compiled for some target features, for each kind of tile: with blocks of so many channels; so many registers of outputs are summed
/// at once.
macro_rules! compiled_for {
    ($module:ident, $vector:ty, $block:literal, $columns:literal, $($feature:literal)?) => {
        mod $module {
            use super::{Batch, Four, One, Range, StridedTwo, Three, TileBuffers, Two, pointwise, run, stem};

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn pixel(batch: &Batch<'_>, pixels: Range<usize>, groups: Range<usize>, buffers: &mut TileBuffers) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { pointwise::run::<$vector, $block, $columns>(batch, pixels, groups, buffers) }
            }
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn stem(batch: &Batch<'_>, tiles: Range<usize>, groups: Range<usize>, buffers: &mut TileBuffers) {
                // SAFETY: the instructions are there, and the contract is kept, by the caller's word
                unsafe { stem::run::<$vector, $block, $columns>(batch, tiles, groups, buffers) }
            }
            compiled_for!(one, $vector, One, $block, $columns, 3, 1, $($feature)?);
            compiled_for!(two, $vector, Two, $block, $columns, 4, 2, $($feature)?);
            compiled_for!(strided_two, $vector, StridedTwo, $block, $columns, 5, 2, $($feature)?);
            compiled_for!(three, $vector, Three, $block, $columns, 5, 3, $($feature)?);
            compiled_for!(four, $vector, Four, $block, $columns, 6, 4, $($feature)?);
        }
    };
    ($name:ident, $vector:ty, $transform:ty, $block:literal, $columns:literal, $in:literal, $out:literal, $($feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        pub(super) unsafe fn $name(batch: &Batch<'_>, tiles: Range<usize>, groups: Range<usize>, buffers: &mut TileBuffers) {
            // SAFETY: the instructions are there, and the contract is kept, by the caller's word
            unsafe { run::<$vector, $transform, $block, $columns, $in, $out>(batch, tiles, groups, buffers) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(avx512_16, std::arch::x86_64::__m512, 16, 4, "avx512f");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2_16, std::arch::x86_64::__m256, 16, 2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled_for!(avx2_8, std::arch::x86_64::__m256, 8, 2, "avx2,fma");
compiled_for!(portable_16, super::Plain, 16, 2,);
compiled_for!(portable_8, super::Plain, 8, 2,);

/// The loops for `set`, or the nearest to it that this machine has and that fits `block`, which is 8 or 16.
pub(super) fn of(set: InstructionSet, block: usize, tile: Tile) -> Kernel {
    macro_rules! sized {
        ($module:ident) => {
            match tile {
                Tile::Pixel => $module::pixel,
                Tile::One => $module::one,
                Tile::Two => $module::two,
                Tile::StridedTwo => $module::strided_two,
                Tile::Three => $module::three,
                Tile::Four => $module::four,
                Tile::Stem => $module::stem,
            }
        };
    }
    match (set, block) {
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512, 16) if set.is_available() => sized!(avx512_16),
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512 | InstructionSet::Avx2, 16) if InstructionSet::Avx2.is_available() => sized!(avx2_16),
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512 | InstructionSet::Avx2, _) if InstructionSet::Avx2.is_available() => sized!(avx2_8),
        (_, 16) => sized!(portable_16),
        _ => sized!(portable_8),
    }
}
