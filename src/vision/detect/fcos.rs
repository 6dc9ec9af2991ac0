//! FCOS (Tian et al., ICCV 2019): each place of each level says what stands on it and how far its edges are.

use super::outputs::Outputs;
use super::{Candidate, logit, sigmoid};
use crate::error::Result;
use crate::manifest::FcosHead;

/// Outputs a level, in the order of [`FcosHead`]'s fields.
const OUTPUTS_A_LEVEL: usize = 3;

/// Every class at every place whose score, the root of class probability times centreness, is at least `threshold`.
///
/// A level's outputs are `[K, h, w]` class logits, `[4, h, w]` distances in pixels of the tensor (left, top, right, down)
/// and `[1, h, w]` centreness logits; place `(row, column)` stands at `(index + 0.5) * stride`.
pub(super) fn candidates(
    head: &FcosHead,
    outputs: &Outputs<'_>,
    classes: usize,
    threshold: f32,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for (index, level) in head.levels.iter().enumerate() {
        let first = index * OUTPUTS_A_LEVEL;
        let (shape, class_logits) = outputs.with_shape(first, &[Some(classes), None, None])?;
        let [height, width] = [shape[1], shape[2]];
        let (_, distances) = outputs.with_shape(first + 1, &[Some(4), Some(height), Some(width)])?;
        let (_, centreness) = outputs.with_shape(first + 2, &[Some(1), Some(height), Some(width)])?;
        let places = height * width;
        // score = sqrt(class * centreness) reaches the threshold only where the class alone reaches its square
        let least_logit = logit(threshold * threshold);
        for (at, &class_logit) in class_logits.iter().enumerate().filter(|(_, logit)| **logit >= least_logit) {
            let (class, place) = (at / places, at % places);
            let score = (sigmoid(class_logit) * sigmoid(centreness[place])).sqrt();
            if score >= threshold {
                let x = ((place % width) as f32 + 0.5) * level.stride as f32;
                let y = ((place / width) as f32 + 0.5) * level.stride as f32;
                let distance = |side: usize| distances[side * places + place];
                let bounds = [x - distance(0), y - distance(1), x + distance(2), y + distance(3)];
                found.push(Candidate { bounds, score, class });
            }
        }
    }
    Ok(found)
}
