//! Masks: which pixels of the original a detection covers, as runs, so that no picture of them is ever held.

mod paste;
mod rle;

pub use rle::Mask;

use self::paste::{Samples, paste};
use super::outputs::{Outputs, failed};
use super::{Candidate, Source};
use crate::error::Result;
use crate::manifest::MaskFrame;

/// A pixel is covered from this value on.
const THRESHOLD: f32 = 0.5;

/// A head's output of masks, of a shape that fits.
pub(super) struct Masks<'a> {
    frame: MaskFrame,
    height: usize,
    width: usize,
    values: &'a [f32],
}

impl<'a> Masks<'a> {
    /// The output at `index`: `[D, h, w]` or `[D, 1, h, w]` for `count` detections, in the input's frame of its `size`.
    ///
    /// # Errors
    /// `InferenceFailed` for another shape.
    pub(super) fn new(
        outputs: &Outputs<'a>,
        index: usize,
        frame: MaskFrame,
        count: usize,
        size: [u32; 2],
    ) -> Result<Self> {
        let [height, width] = match frame {
            MaskFrame::Box => [None, None],
            MaskFrame::Input => size.map(|length| Some(length as usize)),
        };
        let flat = [Some(count), height, width];
        let stacked = [Some(count), Some(1), height, width];
        let (shape, values) = outputs.with_shape(index, if outputs.rank(index) == 3 { &flat } else { &stacked })?;
        match *shape {
            [.., height, width] if height > 0 && width > 0 => Ok(Self { frame, height, width, values }),
            _ => Err(failed(format!(
                "the model's output {} has shape {shape:?}: its masks are empty",
                outputs.name(index)
            ))),
        }
    }

    /// The mask of a detection whose edges on the original, not clipped to it, are `bounds`.
    pub(super) fn mask(&self, candidate: &Candidate, bounds: [f32; 4], source: &Source) -> Option<Mask> {
        let area = self.height * self.width;
        let at = candidate.row * area;
        let values = self.values.get(at..at + area)?;
        Some(match self.frame {
            MaskFrame::Box => self.in_box(values, bounds, source),
            MaskFrame::Input => self.in_input(values, bounds, source),
        })
    }

    /// As torchvision's `paste_masks_in_image`: a border of zeros, the box as much larger, its edges cut to whole pixels.
    fn in_box(&self, values: &[f32], [left, top, right, bottom]: [f32; 4], source: &Source) -> Mask {
        let (rows, columns) = (self.height + 2, self.width + 2);
        let mut padded = vec![0.0; rows * columns];
        for (row, values) in values.chunks_exact(self.width).enumerate() {
            padded[(row + 1) * columns + 1..][..self.width].copy_from_slice(values);
        }
        let across = Samples::in_box(expanded(left, right, self.width), columns, source.width);
        let down = Samples::in_box(expanded(top, bottom, self.height), rows, source.height);
        paste(&padded, columns, &across, &down, [source.height, source.width], THRESHOLD)
    }

    /// Only inside of the box: what a network leaves elsewhere belongs to no detection.
    fn in_input(&self, values: &[f32], [left, top, right, bottom]: [f32; 4], source: &Source) -> Mask {
        let across = Samples::in_input(&source.geometry.across, [left, right], self.width);
        let down = Samples::in_input(&source.geometry.down, [top, bottom], self.height);
        paste(values, self.width, &across, &down, [source.height, source.width], THRESHOLD)
    }
}

/// Both edges moved out by what a border of one cell adds to `cells`.
fn expanded(low: f32, high: f32, cells: usize) -> [i64; 2] {
    let scale = ((cells + 2) as f64 / cells as f64) as f32;
    let half = (high - low) * 0.5 * scale;
    let center = (high + low) * 0.5;
    [(center - half) as i64, (center + half) as i64]
}

#[cfg(test)]
mod tests;
