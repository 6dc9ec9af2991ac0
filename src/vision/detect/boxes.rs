//! Boxes that the graph itself has decoded, as torchvision's detectors are exported.

use super::Candidate;
use super::outputs::Outputs;
use crate::error::Result;
use crate::manifest::BoxesHead;

/// Every box whose score is at least `threshold`. The outputs are `[D, 4]` edges in pixels of the tensor, `[D]` labels and
/// `[D]` scores; a label below the first class is background.
pub(super) fn candidates(head: &BoxesHead, outputs: &Outputs<'_>, threshold: f32) -> Result<Vec<Candidate>> {
    let (shape, edges) = outputs.with_shape(0, &[None, Some(4)])?;
    let (_, labels) = outputs.with_shape(1, &[Some(shape[0])])?;
    let (_, scores) = outputs.with_shape(2, &[Some(shape[0])])?;
    let (edges, _) = edges.as_chunks::<4>();
    let rows = edges.iter().zip(labels).zip(scores);
    Ok(rows
        .filter(|(_, score)| **score >= threshold)
        .filter_map(|((bounds, label), score)| {
            let class = (*label as usize).checked_sub(head.first_class)?;
            Some(Candidate { bounds: *bounds, score: *score, class })
        })
        .collect())
}
