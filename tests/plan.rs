//! Plans: the tiny network and the shipped ones answer the same with a plan and without, and a plan on disk is used while it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use cenet_serve::backend::Backend;
use cenet_serve::model::{
    Coverage, LoadOptions, ModelDirectory, Network, Origin, PlanOptions, SessionOptions, inspect,
};
use ndarray::ArrayD;

const MODELS: [&str; 3] = ["tests/data/models/tiny_ce/1", "models/ce_resnet_caltech101/1", "models/ce_fcos_bccd/1"];
/// Its blocks end in the residual add, without an activation.
const LINEAR: &str = "models/ce_efficientnet_lite0/1";
const TINY: &str = MODELS[0];

fn directory(path: impl AsRef<Path>) -> ModelDirectory {
    ModelDirectory::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a good model")
}

fn kept_in(folder: &Path) -> PlanOptions {
    PlanOptions { enabled: true, cache: Some(folder.to_path_buf()) }
}

/// Outputs for a batch of `batch` pictures of numbers that vary.
fn outputs(network: &Network, directory: &ModelDirectory, batch: usize) -> Vec<ArrayD<f32>> {
    let mut index = 0_u32;
    let input = ArrayD::from_shape_simple_fn(directory.batch_shape(batch).as_slice(), || {
        index = index.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (index >> 8) as f32 / (1 << 23) as f32 - 1.0
    });
    let options = SessionOptions { threads: 2, ..SessionOptions::default() };
    network.open_session(&options).expect("it loads").infer(input).expect("it answers")
}

fn difference(expected: &[ArrayD<f32>], actual: &[ArrayD<f32>]) -> f32 {
    assert_eq!(expected.len(), actual.len());
    let largest = expected.iter().flatten().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let pairs = expected.iter().zip(actual).flat_map(|(expected, actual)| {
        assert_eq!(expected.shape(), actual.shape());
        expected.iter().zip(actual)
    });
    pairs.fold(0.0_f32, |worst, (expected, actual)| worst.max((expected - actual).abs())) / largest
}

#[test]
fn every_network_answers_the_same_by_a_plan() {
    for path in MODELS.into_iter().chain([LINEAR]) {
        let directory = directory(path);
        let planned = Network::of(&directory, &PlanOptions::default());
        let Coverage { blocked, with_add, with_relu, with_convolution, plain, convolutions, winograd, .. } =
            planned.coverage().expect(path);
        assert!(blocked >= 4 && plain == 0, "{path}: all CE blocks are behind convolutions");
        if path == LINEAR {
            assert_eq!((blocked, with_relu), (11, 0), "{path}: linear bottlenecks");
        } else {
            assert_eq!((with_add, with_relu), (blocked - 1, blocked), "{path}: all but the stem's have a residual add");
        }
        assert!(convolutions > 0 && convolutions >= winograd, "{path}: convolutions on blocks are ours");
        // bottlenecks end in 1x1 convolutions, basic blocks in 3x3 ones
        let bottlenecks = if path == TINY { 1 } else { 0 };
        assert_eq!(with_convolution, if path == LINEAR { blocked } else { bottlenecks }, "{path}");
        let unplanned = Network::of(&directory, &PlanOptions { enabled: false, cache: None });
        assert_eq!(unplanned.coverage(), None);
        for batch in [1, 2, 5] {
            let expected = outputs(&unplanned, &directory, batch);
            let difference = difference(&expected, &outputs(&planned, &directory, batch));
            assert!(difference < 1e-5, "{path}, {batch} pictures: {difference:e}");
        }
    }
}

/// What is between two steps of 8 bits may be rounded to either, so that the answers are the same up to a few steps.
#[test]
fn a_quantised_networks_ce_blocks_work_between_8_bit_tensors() {
    let directory = directory("tests/data/quantized/tiny_ce_int8/1");
    let planned = Network::of(&directory, &PlanOptions::default());
    let expected = Coverage { quantized: 4, with_add: 3, with_relu: 1, ..Coverage::default() };
    assert_eq!(planned.coverage(), Some(expected), "the ReLUs behind additions are in the next scale");
    let unplanned = Network::of(&directory, &PlanOptions { enabled: false, cache: None });
    for batch in [1, 2, 5] {
        let difference = difference(&outputs(&unplanned, &directory, batch), &outputs(&planned, &directory, batch));
        assert!(difference < 0.1, "{batch} pictures: {difference:e}");
    }
    let inspection = inspect(&directory.path, &LoadOptions::default()).expect("a good model");
    let runs = |operator: &str| inspection.executed.iter().any(|count| count.operator == operator);
    assert!(runs("QuantizedChannelEquilibrium") && runs("QLinearConv") && !runs("ChannelEquilibrium"));
    let transposes = inspection.executed.iter().filter(|count| count.operator == "Transpose").map(|count| count.nodes);
    assert!(transposes.sum::<usize>() <= 2, "none but at the ends: {:?}", inspection.executed);
}

#[test]
fn a_plan_is_made_once_and_used_while_it_is_whole() {
    let (folder, directory) = (tempfile::tempdir().expect("a folder"), directory(TINY));
    let options = kept_in(&folder.path().join("plans"));
    let first = Network::of(&directory, &options);
    let Origin::Made(file) = first.origin().clone() else { panic!("{:?}", first.origin()) };
    let again = Network::of(&directory, &options);
    assert_eq!(*again.origin(), Origin::Kept(file.clone()));
    assert_eq!(again.coverage(), first.coverage());
    let expected = outputs(&first, &directory, 2);
    assert_eq!(outputs(&again, &directory, 2), expected);

    let whole = fs::read(&file).expect("readable");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for damaged in [&whole[..whole.len() / 2], &flipped, b""] {
        fs::write(&file, damaged).expect("written");
        let anew = Network::of(&directory, &options);
        assert_eq!(*anew.origin(), Origin::Made(file.clone()), "what is damaged is not believed");
        assert_eq!(outputs(&anew, &directory, 2), expected);
        assert_eq!(*Network::of(&directory, &options).origin(), Origin::Kept(file.clone()));
    }
}

#[test]
fn a_changed_network_has_another_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let (copy, options) = (copy_of(TINY, folder.path()), kept_in(&folder.path().join("plans")));
    assert!(matches!(Network::of(&directory(&copy), &options).origin(), Origin::Made(_)));
    let model = copy.join("model.onnx");
    let mut bytes = fs::read(&model).expect("readable");
    // ModelProto.doc_string
    bytes.extend([0x32, 2, b'h', b'i']);
    fs::write(&model, bytes).expect("written");
    assert!(matches!(Network::of(&directory(&copy), &options).origin(), Origin::Made(_)));
    assert_eq!(fs::read_dir(folder.path().join("plans")).expect("readable").count(), 2);
}

#[test]
fn where_nothing_can_be_kept_the_plan_is_made_all_the_same() {
    let (folder, directory) = (tempfile::tempdir().expect("a folder"), directory(TINY));
    let file = folder.path().join("a_file");
    fs::write(&file, "not a folder").expect("written");
    let network = Network::of(&directory, &kept_in(&file));
    assert!(
        matches!(network.origin(), Origin::MadeOnly(reason) if reason.contains("a_file")),
        "{:?}",
        network.origin()
    );
    assert!(network.coverage().is_some());
}

#[test]
fn a_manifest_can_turn_planning_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy_of(TINY, folder.path());
    let manifest = fs::read_to_string(copy.join("model.toml")).expect("readable");
    fs::write(copy.join("model.toml"), format!("{manifest}\n[runtime]\nplan = false\n")).expect("written");
    let inspection = inspect(&copy, &LoadOptions::default()).expect("a good model");
    assert_eq!(inspection.plan, None);
    assert_eq!(inspection.plan_origin, Origin::None("it is turned off".into()));
    assert!(inspection.executed.iter().any(|count| count.operator == "ChannelEquilibrium"));
}

/// A copy of the model directory at `path`, below `folder`.
fn copy_of(path: &str, folder: &Path) -> PathBuf {
    let copy = folder.join("copy/1");
    fs::create_dir_all(&copy).expect("a folder");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the model is there") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.join(entry.file_name())).expect("copied");
    }
    copy
}
