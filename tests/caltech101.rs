//! The shipped network on real photos: it answers what PyTorch and Pillow answer.
//!
//! `tests/data/caltech101_answers.tsv` holds their answers for 200 pictures of the test part, written by
//! `python -m cenet.tools.reference_answers`. The pictures are no part of the repository: where they are absent, this says
//! so and passes over.

mod support;

use std::path::{Path, PathBuf};

use cenet_serve::manifest::Task;
use cenet_serve::request::{Finding, InferOptions};
use support::{look, shipped};

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
    let engine = shipped("ce_resnet_caltech101");
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in ANSWERS.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [picture, index, _lead] = fields[..] else { panic!("three fields: {line}") };
        let options = InferOptions { top_k: Some(1), ..InferOptions::default() };
        let answer = look(&engine, Task::Classify, &folder.join(picture), options).await;
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
