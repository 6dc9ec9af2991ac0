//! Shipped networks on real photos: they answer what PyTorch and Pillow answer, and in 8 bits what they answer in 32.
//!
//! `tests/data/caltech101_answers.tsv` holds their answers for 200 pictures of the test part, written by
//! `python -m cenet.tools.reference_answers`. The pictures are no part of the repository: where they are absent, this says
//! so and passes over.

mod support;

use std::path::{Path, PathBuf};

use cenet_serve::infer::Engine;
use cenet_serve::manifest::Task;
use cenet_serve::request::{Finding, InferOptions};
use support::{look, shipped};

const ANSWERS: &str = include_str!("data/caltech101_answers.tsv");

fn pictures() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("CENET_TEST_DATA")?).join("caltech101/101_ObjectCategories");
    folder.is_dir().then_some(folder)
}

async fn best(engine: &Engine, picture: &Path) -> usize {
    let options = InferOptions { top_k: Some(1), ..InferOptions::default() };
    let Finding::Labels(labels) = look(engine, Task::Classify, picture, options).await.finding else {
        panic!("a classifier gives labels")
    };
    labels[0].index
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
        let best = best(&engine, &folder.join(picture)).await.to_string();
        compared += 1;
        if best != index {
            wrong.push(line);
        }
    }
    println!("{compared} pictures compared");
    assert_eq!(compared, 200);
    assert!(wrong.is_empty(), "the server answers otherwise for {wrong:?}");
}

/// On processors that would saturate, too, where a fifth of the labels would be others.
#[tokio::test]
async fn eight_bits_give_the_same_label() {
    let Some(folder) = pictures() else {
        println!("skipped: CENET_TEST_DATA holds no caltech101/101_ObjectCategories");
        return;
    };
    let (floats, integers) = (shipped("ce_efficientnet_lite0"), shipped("ce_efficientnet_lite0_int8"));
    let files: Vec<_> = ANSWERS.lines().filter_map(|line| line.split('\t').next()).step_by(2).collect();
    let mut others = Vec::new();
    for picture in &files {
        let picture = folder.join(picture);
        if best(&floats, &picture).await != best(&integers, &picture).await {
            others.push(picture);
        }
    }
    println!("{} of {} pictures have another label", others.len(), files.len());
    assert_eq!(files.len(), 100);
    assert!(others.len() <= 8, "{others:?}");
}
