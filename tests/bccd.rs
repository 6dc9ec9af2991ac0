//! The shipped detector on real pictures: it finds what PyTorch, torchvision's suppression and Pillow find.
//!
//! `tests/data/bccd_answers.tsv` holds their boxes for the first 50 pictures of the test part, written by
//! `python -m cenet.tools.reference_boxes`, down to a score below the one compared from: what stands at the edge has a
//! partner either way. The pictures are no part of the repository: where they are absent, this says so and passes over.

mod support;

use std::path::{Path, PathBuf};

use cenet_serve::infer::Engine;
use cenet_serve::manifest::Task;
use cenet_serve::request::{Finding, InferOptions};
use support::{look, shipped};

const ANSWERS: &str = include_str!("data/bccd_answers.tsv");
/// The least score in the answers.
const LISTED: f32 = 0.25;
/// The least score of a box that needs a partner.
const COMPARED: f32 = 0.3;
const LEAST_OVERLAP: f32 = 0.99;
const SCORE_TOLERANCE: f32 = 1e-3;

#[derive(Debug, Clone, Copy)]
struct Found {
    class: usize,
    score: f32,
    bounds: [f32; 4],
}

impl Found {
    /// From `class score left top right bottom`.
    fn parse(field: &str) -> Self {
        let numbers: Vec<f32> = field.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [class, score, left, top, right, bottom] = numbers[..] else { panic!("six numbers: {field}") };
        Self { class: class as usize, score, bounds: [left, top, right, bottom] }
    }

    /// Intersection over union.
    fn overlap(&self, other: &Self) -> f32 {
        let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
        let [a, b] = [self.bounds, other.bounds];
        let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
        shared / (area(a) + area(b) - shared)
    }

    /// The box of the same label that it overlaps most.
    fn nearest<'a>(&self, others: &'a [Self]) -> Option<&'a Self> {
        let same = others.iter().filter(|other| other.class == self.class);
        same.max_by(|a, b| self.overlap(a).total_cmp(&self.overlap(b)))
    }
}

/// How far the two sides are apart.
#[derive(Default)]
struct Comparison {
    boxes: usize,
    least_overlap: Option<f32>,
    largest_score_difference: f32,
    alone: Vec<String>,
}

impl Comparison {
    fn look_for(&mut self, picture: &str, side: &str, ours: &[Found], theirs: &[Found]) {
        for found in ours.iter().filter(|found| found.score > COMPARED) {
            self.boxes += 1;
            let partner = found.nearest(theirs).map(|other| (found.overlap(other), (found.score - other.score).abs()));
            let (overlap, difference) = partner.unwrap_or((0.0, 1.0));
            self.least_overlap = Some(self.least_overlap.map_or(overlap, |least| least.min(overlap)));
            self.largest_score_difference = self.largest_score_difference.max(difference);
            if overlap <= LEAST_OVERLAP || difference > SCORE_TOLERANCE {
                self.alone.push(format!("{picture}, {side}: {found:?} overlap {overlap} difference {difference}"));
            }
        }
    }
}

fn pictures() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("CENET_TEST_DATA")?).join("bccd/JPEGImages");
    folder.is_dir().then_some(folder)
}

async fn detect(engine: &Engine, picture: &Path) -> Vec<Found> {
    let options = InferOptions { threshold: Some(LISTED), iou: Some(0.5), ..InferOptions::default() };
    let answer = look(engine, Task::Detect, picture, options).await;
    let Finding::Boxes(boxes) = answer.finding else { panic!("a detector gives boxes") };
    boxes.iter().map(|found| Found { class: found.index, score: found.score, bounds: found.bounds }).collect()
}

#[tokio::test]
async fn every_box_is_pytorchs() {
    let Some(folder) = pictures() else {
        println!("skipped: CENET_TEST_DATA holds no bccd/JPEGImages");
        return;
    };
    let engine = shipped("ce_fcos_bccd");
    let mut comparison = Comparison::default();
    for line in ANSWERS.lines() {
        let mut fields = line.split('\t');
        let picture = fields.next().expect("a name");
        let theirs: Vec<Found> = fields.map(Found::parse).collect();
        let ours = detect(&engine, &folder.join(picture)).await;
        comparison.look_for(picture, "server", &ours, &theirs);
        comparison.look_for(picture, "PyTorch", &theirs, &ours);
    }
    let Comparison { boxes, least_overlap, largest_score_difference, alone } = comparison;
    println!(
        "{boxes} boxes of both sides compared: overlap {} or more, scores differ by {largest_score_difference:.1e} or less",
        least_overlap.unwrap_or(0.0)
    );
    assert!(boxes >= 1000, "50 pictures show more cells than {boxes}");
    assert!(alone.is_empty(), "{} boxes are without a partner:\n{}", alone.len(), alone.join("\n"));
}
