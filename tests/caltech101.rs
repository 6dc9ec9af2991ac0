//! The shipped network on real photos: it answers what PyTorch and Pillow answer.
//!
//! `tests/data/caltech101_answers.tsv` holds their answers for 200 pictures of the test part, written by
//! `python -m cenet.tools.reference_answers`. The pictures are no part of the repository: where they are absent, this says
//! so and passes over.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use cenet_serve::config::LimitOptions;
use cenet_serve::infer::Engine;
use cenet_serve::manifest::Task;
use cenet_serve::model::{LoadOptions, Model, Repository};
use cenet_serve::request::{Finding, InferOptions, InferRequest};

const ANSWERS: &str = include_str!("data/caltech101_answers.tsv");

fn pictures() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("CENET_TEST_DATA")?).join("caltech101/101_ObjectCategories");
    folder.is_dir().then_some(folder)
}

#[tokio::test]
async fn the_best_label_is_pytorchs() {
    let Some(folder) = pictures() else {
        println!("skipped: CENET_TEST_DATA holds no caltech101/101_ObjectCategories");
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ce_resnet_caltech101/1");
    let model = Model::load(&path, &LoadOptions::default()).expect("the shipped model is good");
    let limits =
        LimitOptions { max_body_bytes: 1 << 20, max_image_pixels: 1 << 20, max_images_in_flight: 1, decode_threads: 1 };
    let engine = Engine::new(Repository::of(model), &limits).expect("threads");
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in ANSWERS.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [picture, index, _lead] = fields[..] else { panic!("three fields: {line}") };
        let image = Bytes::from(std::fs::read(folder.join(picture)).expect("the picture is there"));
        let options = InferOptions { top_k: Some(1), ..InferOptions::default() };
        let request = InferRequest { task: Task::Classify, model: None, version: None, images: vec![image], options };
        let mut response = engine.infer(request).await.expect("the request is good");
        let answer = response.results.remove(0).expect("the picture is good");
        let Finding::Labels(labels) = answer.finding else { panic!("a classifier gives labels") };
        let best = labels[0].index.to_string();
        compared += 1;
        if best != index {
            wrong.push(line);
        }
    }
    println!("{compared} pictures compared");
    assert_eq!(compared, 200);
    assert!(wrong.is_empty(), "the server answers otherwise for {wrong:?}");
}
