//! From a detector's outputs to boxes on the original picture: a head finds candidates, non-maximum suppression keeps the
//! best of each heap, and what is left is carried back from the tensor to the picture.

mod boxes;
mod fcos;
mod mask;
mod nms;
mod outputs;
mod yolox;

use ndarray::ArrayD;
use serde::Serialize;
use utoipa::ToSchema;

pub use mask::Mask;
use mask::Masks;
pub use nms::suppress;
use outputs::Outputs;

use super::geometry::Geometry;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Head;

/// A box that a head proposes, in pixels of the tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Left, top, right and lower edge.
    pub bounds: [f32; 4],
    /// Its score, 0 to 1.
    pub score: f32,
    /// Position of its label.
    pub class: usize,
    /// Where the head's outputs have it.
    pub row: usize,
}

/// What is asked of a detector.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectOptions {
    /// Only boxes whose score is at least this.
    pub threshold: f32,
    /// Of two boxes of one class that overlap by more than this (intersection over union), the lower score goes.
    pub iou: f32,
    /// At most so many boxes, the best.
    pub max_detections: usize,
    /// Only boxes of these classes, by their labels' positions; all when absent.
    pub classes: Option<Vec<usize>>,
}

/// A box on the original picture.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Detection {
    /// The label's text.
    pub label: String,
    /// Its position among the labels, from 0.
    pub index: usize,
    /// Its score, 0 to 1.
    pub score: f32,
    /// Left, top, right and lower edge in pixels of the upright original, clipped to it.
    #[serde(rename = "box")]
    pub bounds: [f32; 4],
    /// The pixels that it covers, where the model says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mask: Option<Mask>,
}

/// The picture that a tensor was made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Where the picture lies in the tensor.
    pub geometry: Geometry,
    /// Width of the upright original, in pixels.
    pub width: u32,
    /// Height of the upright original, in pixels.
    pub height: u32,
}

/// The boxes of one picture, best first.
///
/// `arrays` are the outputs that `head` reads, in the order of [`Head::outputs`], each without a batch axis; `size` is the
/// tensor's height and width.
///
/// # Errors
/// `InferenceFailed` naming the output that isn't of the shape that the head needs, or holds what is no finite number, or the box that
/// comes of numbers too large to reckon with;
/// `Internal` for a head that is no detector's.
pub fn detect(
    head: &Head,
    arrays: &[&ArrayD<f32>],
    size: [u32; 2],
    labels: &[String],
    source: &Source,
    options: &DetectOptions,
) -> Result<Vec<Detection>> {
    let outputs = Outputs::new(head.outputs(), arrays)?;
    let mut candidates = match head {
        Head::Fcos(head) => fcos::candidates(head, &outputs, size, labels.len(), options.threshold)?,
        Head::Boxes(head) => boxes::candidates(head, &outputs, options.threshold)?,
        Head::Yolox(head) => yolox::candidates(head, &outputs, size, labels.len(), options.threshold)?,
        Head::Scores(_) => return Err(InferError::new(ErrorKind::Internal, "the model's head finds no boxes")),
    };
    require_numbers(&candidates)?;
    let wanted = |class| options.classes.as_ref().is_none_or(|classes| classes.contains(&class));
    candidates.retain(|candidate| candidate.class < labels.len() && wanted(candidate.class));
    let kept = suppress(candidates, options.iou, options.max_detections);
    let masks = match head {
        Head::Boxes(head) => boxes::masks(head, &outputs, size)?,
        Head::Scores(_) | Head::Fcos(_) | Head::Yolox(_) => None,
    };
    Ok(kept.iter().filter_map(|candidate| place(candidate, labels, masks.as_ref(), source)).collect())
}

/// Finite outputs may still be so large that what is computed of them isn't: edges may be infinite, but have to be somewhere.
fn require_numbers(candidates: &[Candidate]) -> Result<()> {
    let is_odd = |one: &&Candidate| !one.score.is_finite() || one.bounds.iter().any(|edge| edge.is_nan());
    let Some(Candidate { bounds, score, .. }) = candidates.iter().find(is_odd) else { return Ok(()) };
    Err(outputs::failed(format!("the model's outputs give a box {bounds:?} with the score {score} on this picture")))
}

/// Back onto the original; none where nothing of the box is on it.
fn place(candidate: &Candidate, labels: &[String], masks: Option<&Masks<'_>>, source: &Source) -> Option<Detection> {
    let [left, top, right, bottom] = candidate.bounds.map(f64::from);
    let (left, top) = source.geometry.to_source(left, top);
    let (right, bottom) = source.geometry.to_source(right, bottom);
    let edges = [left, top, right, bottom].map(|edge| edge as f32);
    let across = |edge: f32| edge.clamp(0.0, source.width as f32);
    let down = |edge: f32| edge.clamp(0.0, source.height as f32);
    let bounds = [across(edges[0]), down(edges[1]), across(edges[2]), down(edges[3])];
    let label = labels.get(candidate.class)?.clone();
    if bounds[2] <= bounds[0] || bounds[3] <= bounds[1] {
        return None;
    }
    let mask = masks.and_then(|masks| masks.mask(candidate, edges, source));
    Some(Detection { label, index: candidate.class, score: candidate.score, bounds, mask })
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// The number whose sigmoid is `score`: comparing with it spares the sigmoids of what is below.
fn logit(score: f32) -> f32 {
    (score / (1.0 - score)).ln()
}

#[cfg(test)]
mod tests;
