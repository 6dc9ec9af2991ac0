//! Boxes that the graph itself has decoded, as torchvision's detectors are exported.

use super::Candidate;
use super::mask::Masks;
use super::outputs::Outputs;
use crate::error::Result;
use crate::manifest::BoxesHead;

/// Every box whose score is at least `threshold`. The outputs are `[D, 4]` edges in pixels of the tensor, `[D]` labels and
/// `[D]` scores; a label below the first class, or below 0, is background.
pub(super) fn candidates(head: &BoxesHead, outputs: &Outputs<'_>, threshold: f32) -> Result<Vec<Candidate>> {
    let (shape, edges) = outputs.with_shape(0, &[None, Some(4)])?;
    let (_, labels) = outputs.with_shape(1, &[Some(shape[0])])?;
    let (_, scores) = outputs.with_shape(2, &[Some(shape[0])])?;
    let (edges, _) = edges.as_chunks::<4>();
    let rows = edges.iter().zip(labels).zip(scores).enumerate();
    Ok(rows
        .filter(|(_, (_, score))| **score >= threshold)
        .filter_map(|(row, ((bounds, label), score))| {
            let number = (*label >= 0.0).then_some(*label as usize)?;
            let class = number.checked_sub(head.first_class)?;
            Some(Candidate { bounds: *bounds, score: *score, class, row })
        })
        .collect())
}

/// The boxes' masks, where the head has them. `size` is the tensor's height and width.
pub(super) fn masks<'a>(head: &BoxesHead, outputs: &Outputs<'a>, size: [u32; 2]) -> Result<Option<Masks<'a>>> {
    if head.masks.is_none() {
        return Ok(None);
    }
    let (shape, _) = outputs.with_shape(0, &[None, Some(4)])?;
    Masks::new(outputs, 3, head.mask_frame, shape[0], size).map(Some)
}
