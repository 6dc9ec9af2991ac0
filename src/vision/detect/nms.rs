//! Non-maximum suppression, class by class.

use super::Candidate;

/// The best `max_detections` candidates, best first, without those that overlap a better one of their class by more than
/// `iou`. Of equal scores the earlier candidate counts as better.
///
/// A candidate is compared with what is kept alone, and the search ends when enough is kept: no more than
/// `candidates * max_detections` comparisons.
pub fn suppress(mut candidates: Vec<Candidate>, iou: f32, max_detections: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == max_detections {
            break;
        }
        let beaten = kept
            .iter()
            .any(|better| better.class == candidate.class && overlap(&better.bounds, &candidate.bounds) > iou);
        if !beaten {
            kept.push(candidate);
        }
    }
    kept
}

/// Intersection over union; 0 where both are empty.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = width * height;
    let union = area(a) + area(b) - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

fn area(bounds: &[f32; 4]) -> f32 {
    (bounds[2] - bounds[0]).max(0.0) * (bounds[3] - bounds[1]).max(0.0)
}
