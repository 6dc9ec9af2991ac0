//! A mask's values stretched over pixels of the original, and cut at a threshold.

use std::ops::Range;

use super::Mask;
use crate::vision::geometry::Axis;

/// For some neighbouring pixels of an axis of the original: between which two cells of the mask each lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples {
    /// The first pixel.
    start: u32,
    /// A pixel each.
    samples: Vec<Sample>,
}

/// A place between two cells.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    cells: [usize; 2],
    /// How much the second counts; the first counts the rest of 1.
    share: f32,
}

impl Samples {
    /// The pixels of a box with the edges `low` and `high`, its last one among them, that lie on a picture of `length`. The
    /// box's own pixels are spread over `cells` as torch's `interpolate` does it with `align_corners=False`.
    pub(super) fn in_box([low, high]: [i64; 2], cells: usize, length: u32) -> Self {
        let pixels = high.saturating_sub(low).saturating_add(1).max(1);
        let scale = cells as f32 / pixels as f32;
        let visible = low.clamp(0, length.into())..low.saturating_add(pixels).clamp(0, length.into());
        let start = visible.start as u32;
        let place = |pixel: i64| scale * ((pixel - low) as f32 + 0.5) - 0.5;
        Self { start, samples: visible.map(|pixel| Sample::at(place(pixel), cells)).collect() }
    }

    /// The pixels that edges touch, each where the geometry puts its centre among the tensor's `cells`.
    pub(super) fn in_input(axis: &Axis, [low, high]: [f32; 2], cells: usize) -> Self {
        let edge = |place: f32| place.clamp(0.0, axis.length as f32) as u32;
        let visible = edge(low.floor())..edge(high.ceil());
        let place = |pixel: u32| axis.to_tensor(f64::from(pixel) + 0.5) - 0.5;
        Self { start: visible.start, samples: visible.map(|pixel| Sample::at(place(pixel) as f32, cells)).collect() }
    }

    /// The cells that any pixel lies at.
    fn cells(&self) -> Range<usize> {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => first.cells[0]..last.cells[1] + 1,
            _ => 0..0,
        }
    }

    /// The pixels in runs between the same two cells.
    fn stretches(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let runs = self.samples.chunk_by(|a, b| a.cells == b.cells);
        runs.map(|run| {
            end += run.len();
            end - run.len()..end
        })
        .collect()
    }
}

impl Sample {
    /// Beyond the first or the last cell's middle, that cell alone.
    fn at(place: f32, cells: usize) -> Self {
        let place = place.max(0.0);
        let first = (place as usize).min(cells - 1);
        Self { cells: [first, (first + 1).min(cells - 1)], share: (place - first as f32).clamp(0.0, 1.0) }
    }

    fn between(&self, values: [f32; 2]) -> f32 {
        (1.0 - self.share) * values[0] + self.share * values[1]
    }
}

/// The pixels whose value, bilinear between those of `values`, is at least `threshold`. `values` lie row by row, `width` of
/// them in each; `size` is the original's height and width.
///
/// Between two cells a column's values only rise or only fall, so that the cells say whether the threshold is crossed.
pub(super) fn paste(
    values: &[f32],
    width: usize,
    across: &Samples,
    down: &Samples,
    size: [u32; 2],
    threshold: f32,
) -> Mask {
    let mut mask = Mask::new(size);
    let stretches = down.stretches();
    let rows = down.cells();
    let mut column = vec![0.0; rows.len()];
    for (x, sample) in (across.start..).zip(&across.samples) {
        for (value, row) in column.iter_mut().zip(values.chunks_exact(width).skip(rows.start)) {
            *value = sample.between(sample.cells.map(|cell| row[cell]));
        }
        for stretch in &stretches {
            let samples = &down.samples[stretch.clone()];
            let ends = samples[0].cells.map(|cell| column[cell - rows.start]);
            let part = covered_part(samples, ends, threshold);
            if !part.is_empty() {
                let part = stretch.start + part.start..stretch.start + part.end;
                mask.cover(x, down.start + part.start as u32, down.start + part.end as u32);
            }
        }
    }
    mask
}

/// Which of the samples between two cells with the values `ends` are covered.
fn covered_part(samples: &[Sample], ends: [f32; 2], threshold: f32) -> Range<usize> {
    let covered = |sample: &Sample| sample.between(ends) >= threshold;
    match ends.map(|end| end >= threshold) {
        [true, true] => 0..samples.len(),
        [false, false] => 0..0,
        [true, false] => 0..samples.partition_point(covered),
        [false, true] => samples.partition_point(|sample| !covered(sample))..samples.len(),
    }
}
