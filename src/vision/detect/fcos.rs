//! FCOS (Tian et al., ICCV 2019): each place of each level says what stands on it and how far its edges are.

use super::outputs::Outputs;
use super::{Candidate, logit, sigmoid};
use crate::error::Result;
use crate::manifest::FcosHead;

/// Outputs a level, in the order of [`FcosHead`]'s fields.
const OUTPUTS_A_LEVEL: usize = 3;

/// Every class at every place whose score, the root of class probability times centerness, is at least `threshold`; of
/// each level the best [`FcosHead::candidates_per_level`], cut off at the tensor's edges.
///
/// A level's outputs are `[K, h, w]` class logits, `[4, h, w]` distances in pixels of the tensor (left, top, right, down)
/// and `[1, h, w]` centerness logits; place `(row, column)` stands at `(index + 0.5) * stride`. `size` is the tensor's height
/// and width.
pub(super) fn candidates(
    head: &FcosHead,
    outputs: &Outputs<'_>,
    size: [u32; 2],
    classes: usize,
    threshold: f32,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for (index, level) in head.levels.iter().enumerate() {
        let level = Level::new(level.stride, size, outputs, index * OUTPUTS_A_LEVEL, classes)?;
        let mut candidates = level.candidates(threshold);
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        candidates.truncate(head.candidates_per_level);
        found.append(&mut candidates);
    }
    Ok(found)
}

/// One level's outputs, of shapes that fit together.
struct Level<'a> {
    stride: f32,
    /// The tensor's width and height.
    limits: [f32; 2],
    /// Places a row.
    width: usize,
    /// Places in all.
    places: usize,
    class_logits: &'a [f32],
    distances: &'a [f32],
    centerness: &'a [f32],
}

impl<'a> Level<'a> {
    fn new(stride: u32, size: [u32; 2], outputs: &Outputs<'a>, first: usize, classes: usize) -> Result<Self> {
        let (shape, class_logits) = outputs.with_shape(first, &[Some(classes), None, None])?;
        let [height, width] = [shape[1], shape[2]];
        let (_, distances) = outputs.with_shape(first + 1, &[Some(4), Some(height), Some(width)])?;
        let (_, centerness) = outputs.with_shape(first + 2, &[Some(1), Some(height), Some(width)])?;
        let limits = [size[1] as f32, size[0] as f32];
        let (stride, places) = (stride as f32, height * width);
        Ok(Self { stride, limits, width, places, class_logits, distances, centerness })
    }

    fn candidates(&self, threshold: f32) -> Vec<Candidate> {
        // sqrt(class * centerness) reaches the threshold only where the class alone reaches its square
        let least_logit = logit(threshold * threshold);
        let likely = self.class_logits.iter().enumerate().filter(|(_, logit)| **logit >= least_logit);
        let scored = likely.filter_map(|(at, &class_logit)| {
            let (class, place) = (at / self.places, at % self.places);
            let score = (sigmoid(class_logit) * sigmoid(self.centerness[place])).sqrt();
            (score >= threshold).then(|| Candidate { bounds: self.bounds(place), score, class, row: at })
        });
        scored.collect()
    }

    fn bounds(&self, place: usize) -> [f32; 4] {
        let x = ((place % self.width) as f32 + 0.5) * self.stride;
        let y = ((place / self.width) as f32 + 0.5) * self.stride;
        let distance = |side: usize| self.distances[side * self.places + place];
        let [right_limit, lower_limit] = self.limits;
        [
            (x - distance(0)).clamp(0.0, right_limit),
            (y - distance(1)).clamp(0.0, lower_limit),
            (x + distance(2)).clamp(0.0, right_limit),
            (y + distance(3)).clamp(0.0, lower_limit),
        ]
    }
}
