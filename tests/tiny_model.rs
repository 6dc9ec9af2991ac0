//! The tiny CE network of `tests/data/models`, with random weights: loaded, verified and run by ONNX Runtime as any model.

use std::fs;
use std::path::{Path, PathBuf};

use cenet_serve::model::{
    LoadOptions, Model, ModelDirectory, NodeCount, Providers, Repository, RepositoryOptions, inspect, profile,
};

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1")
}

fn nodes_of(counts: &[NodeCount], operator: &str) -> usize {
    counts.iter().filter(|count| count.operator == operator).map(|count| count.nodes).sum()
}

#[test]
fn the_session_keeps_the_ce_nodes_for_the_native_kernel_and_inlines_them_without_it() {
    let inspection = inspect(&tiny_model(), &LoadOptions::default()).expect("the tiny model is good");
    let blocks = inspection.graph.ce_blocks.len();
    assert!(blocks >= 2, "the tiny model has CE blocks");
    let planned = ["BlockedChannelEquilibrium", "ConvolvedChannelEquilibrium"]
        .map(|operator| nodes_of(&inspection.executed, operator))
        .iter()
        .sum::<usize>();
    assert_eq!(planned, blocks, "each is run as one node, on the runtime's own layout");
    assert!(inspection.ce_kernel.starts_with("the native kernel"), "{}", inspection.ce_kernel);

    let directory = ModelDirectory::read(&tiny_model()).expect("the tiny model is good");
    let kept = profile(&directory, &Providers::default(), false).expect("it runs");
    assert_eq!(nodes_of(&kept, "ChannelEquilibrium"), blocks, "without a plan each is run as one node, too");
    let inlined = profile(&directory, &Providers::default(), true).expect("the body runs anywhere");
    assert_eq!(nodes_of(&inlined, "ChannelEquilibrium"), 0, "none is left");
    let nodes = |counts: &[NodeCount]| counts.iter().map(|count| count.nodes).sum::<usize>();
    assert!(nodes(&inlined) > nodes(&kept) + 5 * blocks, "the body's own nodes run instead");
}

#[test]
fn the_golden_pair_holds_from_the_picture_on() {
    let inspection = inspect(&tiny_model(), &LoadOptions::default()).expect("the tiny model is good");
    let golden = inspection.golden.expect("it has a golden pair");
    assert!(golden.relative_difference < 1e-4, "{golden:?}");
    // one level of 255, divided by the narrowest standard deviation
    let one_level = 1.001 / 255.0 / 0.224;
    assert!(golden.input_difference.expect("it has a golden picture") < one_level, "{golden:?}");
}

#[test]
fn a_repository_loads_every_model() {
    let root = tiny_model().join("../..");
    let repository = Repository::open(RepositoryOptions { root, ..RepositoryOptions::default() }).expect("readable");
    let catalog = repository.catalog();
    let names: Vec<_> = catalog.models().map(|model| model.directory.name.as_str()).collect();
    assert_eq!(names, ["tiny_ce"]);
}

/// A copy of the tiny model in which one text of `model.toml` is replaced.
fn broken(from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("tiny_ce/1");
    fs::create_dir_all(&copy).expect("a folder");
    for entry in fs::read_dir(tiny_model()).expect("the model is there") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.join(entry.file_name())).expect("copied");
    }
    fs::write(copy.join("two.txt"), "one\ntwo\n").expect("written");
    let manifest = fs::read_to_string(copy.join("model.toml")).expect("a manifest");
    assert!(manifest.contains(from), "{from:?} is not in the manifest");
    fs::write(copy.join("model.toml"), manifest.replacen(from, to, 1)).expect("written");
    Model::load(&copy, &LoadOptions::default()).expect_err("the manifest is wrong").to_string()
}

#[test]
fn what_is_wrong_with_a_model_is_told_at_load() {
    let cases = [
        ("schema_version = 1", "schema_version = 2", "schema_version is 2"),
        ("task = \"classify\"", "task = \"clasify\"", "clasify"),
        ("[head]", "top = 3\n[head]", "top"),
        ("input = \"input\"", "input = \"image\"", "preprocess.input"),
        ("output = \"logits\"", "output = \"scores\"", "[head] names an output"),
        ("labels = \"labels.txt\"", "labels = \"../labels.txt\"", "own directory"),
        ("labels = \"labels.txt\"", "labels = \"model.toml\"", "is empty"),
        ("labels = \"labels.txt\"", "labels = \"two.txt\"", "logits"),
        ("model = \"model.onnx\"", "model = \"golden.png\"", "is no ONNX file"),
        ("model = \"model.onnx\"", "model = \"absent.onnx\"", "absent.onnx"),
        ("tensors = \"golden.npz\"", "tensors = \"labels.txt\"", "golden pair"),
        ("tolerance = 0.0001", "tolerance = 1e-12", "the outputs differ"),
        ("to = 72", "to = 80", "golden picture"),
        ("color = \"rgb\"", "color = \"bgr\"", "golden picture"),
    ];
    for (from, to, expected) in cases {
        let message = broken(from, to);
        assert!(message.contains(expected), "{to}: {message}");
    }
}
