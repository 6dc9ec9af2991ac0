//! YOLOX (Ge et al., 2021) as its exporter writes it: one row a place, not yet put on the grid.

use super::Candidate;
use super::outputs::{Outputs, failed};
use crate::error::Result;
use crate::manifest::YoloxHead;

/// Numbers of a row before its classes: the centre, the size, and whether there is anything.
const BEFORE_CLASSES: usize = 5;

/// The best class of every row whose score, objectness times class probability, is at least `threshold`.
///
/// The output is `[A, 5 + K]`, its rows ordered by level, row and column; `size` is the tensor's height and width. Centres
/// count from their place in units of the level's stride, sizes are logarithms of them; probabilities are final.
pub(super) fn candidates(
    head: &YoloxHead,
    outputs: &Outputs<'_>,
    size: [u32; 2],
    classes: usize,
    threshold: f32,
) -> Result<Vec<Candidate>> {
    let row_len = BEFORE_CLASSES + classes;
    let (shape, numbers) = outputs.with_shape(0, &[None, Some(row_len)])?;
    let places: Vec<_> = head.strides.iter().flat_map(|&stride| grid(size, stride)).collect();
    if shape[0] != places.len() {
        let message = format!(
            "the model's output {} has {} rows, {} places are expected of its strides",
            outputs.name(0),
            shape[0],
            places.len()
        );
        return Err(failed(message));
    }
    let rows = numbers.chunks_exact(row_len).zip(places);
    let candidates = rows.enumerate().filter_map(|(index, (row, place))| candidate(index, row, place, threshold));
    Ok(candidates.collect())
}

/// Column, row and stride of each place of a level.
fn grid([height, width]: [u32; 2], stride: u32) -> impl Iterator<Item = [f32; 3]> {
    let place = move |row, column| [column as f32, row as f32, stride as f32];
    (0..height / stride).flat_map(move |row| (0..width / stride).map(move |column| place(row, column)))
}

fn candidate(row: usize, numbers: &[f32], [column, line, stride]: [f32; 3], threshold: f32) -> Option<Candidate> {
    let [x, y, width, height, objectness, classes @ ..] = numbers else { return None };
    if *objectness < threshold {
        return None;
    }
    let (class, probability) = classes.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let score = objectness * probability;
    let (x, y) = ((x + column) * stride, (y + line) * stride);
    let (half_width, half_height) = (width.exp() * stride / 2.0, height.exp() * stride / 2.0);
    let bounds = [x - half_width, y - half_height, x + half_width, y + half_height];
    (score >= threshold).then_some(Candidate { bounds, score, class, row })
}
