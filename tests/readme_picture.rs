//! The README's pictures: the shipped detector finds what `scripts/draw_smear.py` drew, and draws the picture beside it; what answers
//! `/classify` by default names what is in the cup.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use cenet_serve::config::LimitOptions;
use cenet_serve::infer::Engine;
use cenet_serve::manifest::Task;
use cenet_serve::model::{Repository, RepositoryOptions};
use cenet_serve::request::{Finding, InferOptions};
use cenet_serve::vision::draw::PictureFormat;
use support::{look, shipped};

#[tokio::test]
async fn the_cup_is_known_by_the_default_model() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = RepositoryOptions { root: root.join("models"), ..RepositoryOptions::default() };
    let limits = LimitOptions { decode_threads: 1, ..LimitOptions::default() };
    let engine = Engine::new(Repository::open(options).expect("readable"), &limits).expect("threads");
    let photo = root.join("docs/images/coffee.jpg");
    let result = look(&engine, Task::Classify, &photo, InferOptions::default()).await;
    let Finding::Labels(labels) = result.finding else { panic!("a classifier gives labels") };
    assert_eq!((labels[0].label.as_str(), labels.len()), ("espresso", 5));
    assert!(labels[0].score > 0.8, "{labels:?}");
}

#[tokio::test]
async fn the_drawn_cells_are_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = InferOptions { render: Some(PictureFormat::Jpeg), ..InferOptions::default() };
    let result = look(&shipped("ce_fcos_bccd"), Task::Detect, &root.join("docs/images/smear.jpg"), options).await;

    let Finding::Boxes(boxes) = result.finding else { panic!("a detector gives boxes") };
    let mut found = BTreeMap::new();
    for detection in &boxes {
        *found.entry(detection.label.as_str()).or_insert(0) += 1;
    }
    assert_eq!(found, BTreeMap::from([("RBC", 11), ("WBC", 1), ("Platelets", 4)]), "as many as were drawn");

    let drawn = image::load_from_memory(&result.rendered.expect("it was asked for")).expect("a picture").to_rgb8();
    let shown = image::open(root.join("docs/images/smear_found.jpg")).expect("the README's picture").to_rgb8();
    assert_eq!(drawn.dimensions(), shown.dimensions());
    let difference: u64 = drawn.iter().zip(shown.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(difference < drawn.len() as u64, "the README shows another picture: it differs by {difference} in all");
}
