use ndarray::Array;
use proptest::prelude::*;

use super::*;
use crate::manifest::{Align, BoxesHead, FcosHead, FcosLevel, MaskFrame, Resize, YoloxHead};

fn labels() -> Vec<String> {
    ["cell", "platelet"].map(String::from).to_vec()
}

fn options(threshold: f32) -> DetectOptions {
    DetectOptions { threshold, iou: 0.5, max_detections: 100, classes: None }
}

/// A picture of 128 by 64 pixels, letterboxed into the middle of a tensor of 64 by 64: half the size, 16 pixels down.
fn letterboxed() -> Source {
    let resize = Resize::Letterbox { align: Align::Center, fill: [0; 3] };
    Source { geometry: Geometry::new(&resize, [64, 64], 128, 64), width: 128, height: 64 }
}

fn zeros(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::zeros(shape)
}

fn fcos() -> Head {
    let level = |stride: u32, name: &str| FcosLevel {
        stride,
        classes: format!("classes_{name}"),
        distances: format!("distances_{name}"),
        centerness: format!("centerness_{name}"),
    };
    Head::Fcos(FcosHead { levels: vec![level(32, "fine"), level(64, "coarse")], candidates_per_level: 1000 })
}

fn assert_close(actual: [f32; 4], expected: [f32; 4]) {
    assert!(actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-3), "{actual:?}");
}

#[test]
fn fcos_measures_from_the_middle_of_each_place() {
    let mut classes = zeros(&[2, 2, 2]) - 10.0;
    classes[[1, 0, 1]] = 3.0;
    let mut distances = zeros(&[4, 2, 2]);
    for (side, distance) in [8.0, 4.0, 10.0, 6.0].into_iter().enumerate() {
        distances[[side, 0, 1]] = distance;
    }
    let centerness = zeros(&[1, 2, 2]) + 2.0;
    let (none, far, flat) = (zeros(&[2, 1, 1]) - 10.0, zeros(&[4, 1, 1]), zeros(&[1, 1, 1]));
    let outputs = [&classes, &distances, &centerness, &none, &far, &flat];
    let found = detect(&fcos(), &outputs, [64, 64], &labels(), &letterboxed(), &options(0.5)).expect("good outputs");
    assert_eq!(found.len(), 1);
    // the place (48, 16) of the tensor: edges 40..58 and 12..22 there, of which what is above 16 is border
    assert_close(found[0].bounds, [80.0, 0.0, 116.0, 12.0]);
    assert_eq!((found[0].label.as_str(), found[0].index), ("platelet", 1));
    assert!((found[0].score - (sigmoid(3.0) * sigmoid(2.0)).sqrt()).abs() < 1e-6);
}

#[test]
fn decoded_boxes_are_taken_as_they_are() {
    let head = Head::Boxes(BoxesHead {
        boxes: "boxes".into(),
        classes: "labels".into(),
        scores: "scores".into(),
        first_class: 1,
        masks: None,
        mask_frame: MaskFrame::Box,
    });
    let boxes = Array::from_shape_vec(vec![4, 4], [10.0, 20.0, 30.0, 40.0].repeat(4)).expect("16 numbers");
    let classes = Array::from_vec(vec![1.0, 2.0, 0.0, 3.0]).into_dyn();
    let scores = Array::from_vec(vec![0.9, 0.2, 0.9, 0.9]).into_dyn();
    let outputs = [&boxes, &classes, &scores];
    let found = detect(&head, &outputs, [64, 64], &labels(), &letterboxed(), &options(0.5)).expect("good outputs");
    assert_eq!(found.len(), 1, "a low score, the background and an unknown class are passed over");
    assert_close(found[0].bounds, [20.0, 8.0, 60.0, 48.0]);
    let nothing = [&zeros(&[0, 4]), &zeros(&[0]), &zeros(&[0])];
    let found = detect(&head, &nothing, [64, 64], &labels(), &letterboxed(), &options(0.5)).expect("good outputs");
    assert_eq!(found, []);
}

#[test]
fn labels_below_zero_are_no_class() {
    let head = Head::Boxes(BoxesHead {
        boxes: "boxes".into(),
        classes: "labels".into(),
        scores: "scores".into(),
        first_class: 0,
        masks: None,
        mask_frame: MaskFrame::Box,
    });
    let boxes = Array::from_shape_vec(vec![2, 4], [10.0, 20.0, 30.0, 40.0].repeat(2)).expect("8 numbers");
    let outputs = [&boxes, &Array::from_vec(vec![-1.0, 1.0]).into_dyn(), &Array::from_vec(vec![0.9, 0.8]).into_dyn()];
    let found = detect(&head, &outputs, [64, 64], &labels(), &letterboxed(), &options(0.5)).expect("good outputs");
    assert_eq!(found.iter().map(|one| one.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn numbers_too_large_to_reckon_with_are_told() {
    let head = Head::Yolox(YoloxHead { output: "output".into(), strides: vec![64] });
    let run = |row: [f32; 7]| {
        let rows = Array::from_shape_vec(vec![1, 7], row.to_vec()).expect("7 numbers");
        detect(&head, &[&rows], [64, 64], &labels(), &letterboxed(), &options(0.5))
    };
    // a box without end covers the picture, one around infinity or with an infinite score is nowhere
    assert_close(run([0.5, 0.5, 1000.0, 1000.0, 1.0, 1.0, 0.0]).expect("a box")[0].bounds, [0.0, 0.0, 128.0, 64.0]);
    for row in [[f32::MAX, 0.5, 1000.0, 0.0, 1.0, 1.0, 0.0], [0.5, 0.5, 0.0, 0.0, f32::MAX, f32::MAX, 0.0]] {
        let error = run(row).expect_err("no number");
        assert_eq!(error.kind, ErrorKind::InferenceFailed);
        assert!(error.message.contains("give a box"), "{error}");
    }
}

#[test]
fn yolox_counts_in_strides_from_its_grid() {
    let head = Head::Yolox(YoloxHead { output: "output".into(), strides: vec![32, 64] });
    let mut rows = zeros(&[5, 7]);
    // level 32, row 1, column 0: the fourth place is row 1, column 1
    for (at, value) in [0.5, 0.25, 0.0, (0.5_f32).ln(), 0.8, 0.1, 0.75].into_iter().enumerate() {
        rows[[2, at]] = value;
    }
    let found = detect(&head, &[&rows], [64, 64], &labels(), &letterboxed(), &options(0.5)).expect("good outputs");
    assert_eq!(found.len(), 1);
    // centre (16, 40), 32 wide and 16 high: edges 0..32 and 32..48 of the tensor
    assert_close(found[0].bounds, [0.0, 32.0, 64.0, 64.0]);
    assert!((found[0].score - 0.6).abs() < 1e-6);
}

#[test]
fn outputs_that_are_wrong_are_named() {
    let good = [zeros(&[2, 2, 2]), zeros(&[4, 2, 2]), zeros(&[1, 2, 2]), zeros(&[2, 1, 1]), zeros(&[4, 1, 1])];
    let run = |last: ArrayD<f32>| {
        let outputs: Vec<_> = good.iter().chain([&last]).collect();
        detect(&fcos(), &outputs, [64, 64], &labels(), &letterboxed(), &options(0.5))
    };
    assert!(run(zeros(&[1, 1, 1])).is_ok());
    for (last, expected) in [
        (zeros(&[1, 1, 1]) * f32::NAN, "centerness_coarse holds NaN"),
        (zeros(&[1, 1, 1]) + f32::INFINITY, "centerness_coarse holds inf"),
        (zeros(&[1, 2, 2]), "centerness_coarse has shape [1, 2, 2], [1, 1, 1] is expected"),
        (zeros(&[1]), "centerness_coarse has shape [1]"),
    ] {
        let error = run(last).expect_err(expected);
        assert_eq!(error.kind, ErrorKind::InferenceFailed);
        assert!(error.message.contains(expected), "{error}");
    }
    let head = Head::Yolox(YoloxHead { output: "output".into(), strides: vec![32] });
    let error = detect(&head, &[&zeros(&[5, 7])], [64, 64], &labels(), &letterboxed(), &options(0.5));
    assert!(error.expect_err("four places").message.contains("5 rows, 4 places"));
}

#[test]
fn classes_and_their_number_can_be_asked_for() {
    let head = Head::Boxes(BoxesHead {
        boxes: "boxes".into(),
        classes: "labels".into(),
        scores: "scores".into(),
        first_class: 0,
        masks: None,
        mask_frame: MaskFrame::Box,
    });
    let edges = (0..6).flat_map(|index| [10.0 * index as f32, 20.0, 10.0 * index as f32 + 8.0, 40.0]).collect();
    let boxes = Array::from_shape_vec(vec![6, 4], edges).expect("24 numbers");
    let classes = Array::from_vec(vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0]).into_dyn();
    let scores = Array::from_vec(vec![0.4, 0.5, 0.6, 0.7, 0.8, 0.9]).into_dyn();
    let outputs = [&boxes, &classes, &scores];
    let scores_of = |options: &DetectOptions| -> Vec<f32> {
        let found = detect(&head, &outputs, [64, 64], &labels(), &letterboxed(), options).expect("good outputs");
        found.iter().map(|detection| detection.score).collect()
    };
    assert_eq!(scores_of(&DetectOptions { classes: Some(vec![0]), ..options(0.5) }), [0.8, 0.6]);
    assert_eq!(scores_of(&DetectOptions { max_detections: 2, ..options(0.5) }), [0.9, 0.8]);
    assert_eq!(scores_of(&DetectOptions { classes: Some(vec![]), ..options(0.5) }), [0.0; 0]);
}

/// The textbook's way: take the best, throw out what it beats, go on.
fn plain_suppression(mut candidates: Vec<Candidate>, iou: f32) -> Vec<Candidate> {
    let mut kept = Vec::new();
    while let Some(best) = candidates.iter().map(|candidate| candidate.score).reduce(f32::max) {
        let at = candidates.iter().position(|candidate| candidate.score == best).expect("it is one of them");
        let best = candidates.remove(at);
        let alone = |other: &Candidate| suppress(vec![best, *other], iou, 2).len() == 2;
        candidates.retain(alone);
        kept.push(best);
    }
    kept
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    (0.0_f32..40.0, 0.0_f32..40.0, 1.0_f32..30.0, 1.0_f32..30.0, 0_u8..100, 0_usize..2).prop_map(
        |(x, y, width, height, score, class)| Candidate {
            bounds: [x, y, x + width, y + height],
            score: f32::from(score) / 100.0,
            class,
            row: 0,
        },
    )
}

proptest! {
    #[test]
    fn suppression_is_the_textbooks(candidates in prop::collection::vec(any_candidate(), 0..40), iou in 0.0_f32..1.0) {
        let expected = plain_suppression(candidates.clone(), iou);
        prop_assert_eq!(suppress(candidates.clone(), iou, usize::MAX), expected.clone());
        prop_assert_eq!(suppress(candidates, iou, 3), expected.into_iter().take(3).collect::<Vec<_>>());
    }
}

#[test]
fn equal_boxes_of_two_classes_both_stay() {
    let candidate = |class, score| Candidate { bounds: [0.0, 0.0, 8.0, 8.0], score, class, row: 0 };
    let kept = suppress(vec![candidate(0, 0.5), candidate(1, 0.6), candidate(0, 0.7)], 0.5, 10);
    assert_eq!(kept, [candidate(0, 0.7), candidate(1, 0.6)]);
}
