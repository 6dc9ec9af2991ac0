//! What the decoder of TIFF passes over: bits in another order, a predictor that isn't in force, and colours multiplied by their opacity.

use super::tags::Tags;
use super::{Format, unsupported};
use crate::error::Result;

const COMPRESSION: u16 = 259;
const FILL_ORDER: u16 = 266;
const PREDICTOR: u16 = 317;
const EXTRA_SAMPLES: u16 = 338;

/// LZW, deflate, and deflate by its older number: a predictor is theirs alone.
const PREDICTED: [u32; 3] = [5, 8, 32946];
const LOWEST_BIT_FIRST: u32 = 2;
const NO_PREDICTOR: u32 = 1;
const ASSOCIATED_ALPHA: u32 = 1;

/// Refuses what would be decoded to other colours.
///
/// # Errors
/// `UnsupportedImage`.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let Some(tags) = Tags::open(bytes) else { return Ok(()) };
    if tags.number(FILL_ORDER) == Some(LOWEST_BIT_FIRST) {
        return Err(unsupported(Format::Tiff, "its lowest bits come first"));
    }
    let predicted = tags.number(PREDICTOR).is_some_and(|predictor| predictor != NO_PREDICTOR);
    if predicted && !tags.number(COMPRESSION).is_some_and(|compression| PREDICTED.contains(&compression)) {
        return Err(unsupported(Format::Tiff, "a predictor without LZW or deflate"));
    }
    Ok(())
}

/// Whether colours are stored multiplied by their opacity.
pub(super) fn is_premultiplied(bytes: &[u8]) -> bool {
    Tags::open(bytes).and_then(|tags| tags.number(EXTRA_SAMPLES)) == Some(ASSOCIATED_ALPHA)
}
