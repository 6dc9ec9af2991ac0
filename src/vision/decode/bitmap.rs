//! What the decoder of bitmaps doesn't look at: depths that none has, runs that leave pixels out, and how Pillow widens 16-bit colours.

use super::{Format, damaged, unsupported};
use crate::error::Result;

/// Bytes of the file's own head, before that of the bitmap.
const FILE_HEAD: usize = 14;
/// Bytes of a bitmap's head that has a compression; older ones are shorter.
const INFO_HEAD: u32 = 40;

const RUNS_OF_8_BITS: u32 = 1;
const RUNS_OF_4_BITS: u32 = 2;
const MASKS: u32 = 3;

/// What a bitmap's heads say.
pub(super) struct Bitmap<'a> {
    bytes: &'a [u8],
    /// Where the pixels begin.
    start: usize,
    width: usize,
    height: usize,
    bits: u16,
    compression: u32,
}

impl<'a> Bitmap<'a> {
    /// Reads the heads; none where they are cut off, or of a kind that is older than compression.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let head = number(bytes, FILE_HEAD)?;
        if head < INFO_HEAD {
            return None;
        }
        Some(Self {
            bytes,
            start: number(bytes, 10)? as usize,
            width: number(bytes, 18)? as usize,
            height: number(bytes, 22)?.cast_signed().unsigned_abs() as usize,
            bits: number(bytes, 28)? as u16,
            compression: number(bytes, 30)?,
        })
    }

    /// Refuses what isn't told whole.
    ///
    /// # Errors
    /// `UnsupportedImage`, `InvalidImage`.
    pub(super) fn check(&self) -> Result<()> {
        if !matches!(self.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(unsupported(Format::Bmp, format_args!("{} bits a pixel", self.bits)));
        }
        if self.start < FILE_HEAD + INFO_HEAD as usize {
            return Err(damaged(Format::Bmp, "its pixels begin within its head"));
        }
        let runs = matches!(self.compression, RUNS_OF_8_BITS | RUNS_OF_4_BITS);
        if runs && !self.runs_are_whole().unwrap_or(false) {
            return Err(damaged(Format::Bmp, "its runs leave pixels out"));
        }
        Ok(())
    }

    /// Whether the runs give each row its pixels; none where they are cut off.
    fn runs_are_whole(&self) -> Option<bool> {
        let mut runs = self.bytes.get(self.start..)?.iter();
        let mut rows = 0;
        let mut pixels = 0;
        loop {
            let count = usize::from(*runs.next()?);
            let value = usize::from(*runs.next()?);
            match (count, value) {
                // the end of a row, and of the bitmap
                (0, 0 | 1) => {
                    if pixels > 0 {
                        if pixels < self.width {
                            return Some(false);
                        }
                        rows += 1;
                        pixels = 0;
                    }
                    if value == 1 || rows == self.height {
                        return Some(rows == self.height);
                    }
                }
                // a jump over pixels
                (0, 2) => return Some(false),
                (0, literal) => {
                    pixels += literal;
                    let bytes = if self.compression == RUNS_OF_4_BITS { literal.div_ceil(2) } else { literal };
                    runs.nth(bytes.next_multiple_of(2) - 1)?;
                }
                (count, _) => pixels += count,
            }
        }
    }

    /// Brings 16-bit colours, which the decoder has widened by rounding, to what Pillow makes of them: `value * 255 / largest`, cut off.
    pub(super) fn widen_as_pillow(&self, rgb: &mut [u8]) {
        let Some(bits) = self.color_bits() else { return };
        for pixel in rgb.as_chunks_mut::<3>().0 {
            for (value, bits) in pixel.iter_mut().zip(bits) {
                let narrow = u32::from(*value) >> (8 - bits);
                *value = (narrow * 255 / ((1 << bits) - 1)) as u8;
            }
        }
    }

    /// Bits of red, green and blue in 16-bit colours.
    fn color_bits(&self) -> Option<[u32; 3]> {
        match (self.bits, self.compression) {
            (16, MASKS) => {
                let mask = |place| number(self.bytes, place).map(u32::count_ones).filter(|bits| (1..=8).contains(bits));
                Some([mask(54)?, mask(58)?, mask(62)?])
            }
            (16, _) => Some([5; 3]),
            _ => None,
        }
    }
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(place..)?.first_chunk()?))
}
