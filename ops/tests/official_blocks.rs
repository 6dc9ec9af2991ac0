//! Blocks computed by the paper authors' own code, against the reference and the kernel of every instruction set.
//! Skipped where the data isn't.

mod support;

use std::{fs::File, path::PathBuf};

use ce_op::{InputShapes, InstructionSet, Serial, Shape, nchw, reference};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;
use support::{Case, relative_difference};

const TOLERANCE: f32 = 1e-5;

/// A block and what the authors' code makes of it.
struct Official {
    case: Case,
    variance: Vec<f32>,
    gate: Vec<f32>,
    y: Vec<f32>,
}

#[test]
fn the_reference_matches_the_authors() {
    for (index, official) in cases().iter().enumerate() {
        let case = &official.case;
        let found = reference::forward(&case.shape, &case.parameters(), &case.x).expect("the buffers fit");
        assert_near(index, official, &found.variance, &found.gate, &found.y);
    }
}

#[test]
fn every_kernel_matches_the_authors() {
    let cases = cases();
    for set in InstructionSet::available() {
        for (index, official) in cases.iter().enumerate() {
            let case = &official.case;
            let (variance, gate) =
                nchw::variance_and_gate(set, &case.shape, &case.parameters(), &case.x).expect("the buffers fit");
            let mut y = vec![f32::NAN; case.x.len()];
            nchw::forward_with(set, &case.shape, &case.parameters(), &case.x, &mut y, &Serial)
                .expect("the buffers fit");
            assert_near(index, official, &variance, &gate, &y);
        }
    }
}

fn assert_near(index: usize, official: &Official, variance: &[f32], gate: &[f32], y: &[f32]) {
    for (what, expected, actual) in
        [("variance", &official.variance, variance), ("gate", &official.gate, gate), ("Y", &official.y, y)]
    {
        let difference = relative_difference(expected, actual);
        assert!(difference < TOLERANCE, "case {index}: {what} differs by {difference:e}");
    }
}

/// The seven cases, or none where the data isn't there.
fn cases() -> Vec<Official> {
    let root = std::env::var_os("CENET_TEST_DATA").map(PathBuf::from);
    let Some(path) = root.map(|root| root.join("official-format/ce_block_cases.npz")).filter(|path| path.exists())
    else {
        println!("skipped: CENET_TEST_DATA holds no official-format/ce_block_cases.npz");
        return Vec::new();
    };
    let mut archive = NpzReader::new(File::open(path).expect("a readable archive")).expect("an archive");
    (0..7).map(|index| read(&mut archive, index)).collect()
}

fn read(archive: &mut NpzReader<File>, index: usize) -> Official {
    let mut array = |name: &str| -> ArrayD<f32> {
        let array = archive.by_name::<OwnedRepr<f32>, IxDyn>(&format!("case{index}_{name}"));
        array.expect("an array of the case").as_standard_layout().into_owned()
    };
    let share = 1.0 / (1.0 + (-array("x_weight")[0]).exp());
    let [whitening, fc1, ln_scale, ln_bias, fc2, x] =
        [share * array("running_wm"), array("fc1"), array("ln_scale"), array("ln_bias"), array("fc2"), array("X")];
    let [whitening_shape, fc1_shape, ln_scale_shape, ln_bias_shape, fc2_shape, x_shape] =
        [&whitening, &fc1, &ln_scale, &ln_bias, &fc2, &x].map(lengths);
    let shape = Shape::new(InputShapes {
        x: &x_shape,
        whitening: &whitening_shape,
        fc1: &fc1_shape,
        ln_scale: &ln_scale_shape,
        ln_bias: &ln_bias_shape,
        fc2: &fc2_shape,
    });
    Official {
        case: Case {
            shape: shape.expect("shapes that fit"),
            x: numbers(x),
            whitening: numbers(whitening),
            fc1: numbers(fc1),
            ln_scale: numbers(ln_scale),
            ln_bias: numbers(ln_bias),
            fc2: numbers(fc2),
            gate_scale: (1.0 - share) / array("running_scale")[0],
        },
        variance: numbers(array("variance")),
        gate: numbers(array("gate")),
        y: numbers(array("Y")),
    }
}

fn lengths(array: &ArrayD<f32>) -> Vec<i64> {
    array.shape().iter().map(|&length| i64::try_from(length).expect("a small length")).collect()
}

fn numbers(array: ArrayD<f32>) -> Vec<f32> {
    array.into_raw_vec_and_offset().0
}
