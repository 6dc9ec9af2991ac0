//! Every instruction set against the plain reference, on shapes of all kinds.

mod support;

use ce_op::{InstructionSet, Parallel, Parameters, Serial, Shape, nchw, reference};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{CASES, Case, SHRINKS, Threads, relative_difference};

/// Runs every instruction set, in place as well, and compares with the reference.
fn check(case: &Case, parallel: &dyn Parallel, tolerance: f32) {
    let (shape, parameters) = (&case.shape, &case.parameters());
    let expected = reference::forward(shape, parameters, &case.x).expect("the buffers fit");
    for set in InstructionSet::available() {
        let y = forward(set, case, parallel);
        let (variance, gate) = nchw::variance_and_gate(set, shape, parameters, &case.x).expect("the buffers fit");
        for (what, expected, actual) in
            [("variance", &expected.variance, &variance), ("gate", &expected.gate, &gate), ("Y", &expected.y, &y)]
        {
            let difference = relative_difference(expected, actual);
            assert!(difference < tolerance, "{what}, {set:?}, {shape:?}: {difference:e}");
        }
        let mut in_place = case.x.clone();
        nchw::forward_in_place(set, shape, parameters, &mut in_place, parallel).expect("the buffers fit");
        assert!(in_place == y, "{set:?}, {shape:?}: another output in place");
    }
}

fn forward(set: InstructionSet, case: &Case, parallel: &dyn Parallel) -> Vec<f32> {
    let mut y = vec![f32::NAN; case.x.len()];
    nchw::forward_with(set, &case.shape, &case.parameters(), &case.x, &mut y, parallel).expect("the buffers fit");
    y
}

proptest! {
    // a fixed seed: near-equal hidden values multiply rounding, and one of very many cases would pass any tolerance
    #![proptest_config(ProptestConfig { cases: CASES, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        batch in 1_usize..6,
        groups in 1_usize..5,
        group_width in prop::sample::select(vec![1_usize, 3, 5, 8, 12, 16, 24, 32, 64]),
        pixels in 2_usize..400 / SHRINKS,
        hidden in 1_usize..20,
        threads in 1_usize..4,
        seed: u64,
    ) {
        let shape = Shape { batch, groups, group_width, pixels, hidden };
        // LayerNorm over a few nearly equal numbers multiplies rounding: 1e-5 is asked of real blocks below
        check(&Case::draw(shape, 0.0, seed), &Threads(threads), if hidden < 4 { 1e-3 } else { 5e-5 });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long under Miri")]
fn the_shapes_of_networks() {
    for (channels, group_width, side) in [(64, 64, 28), (256, 16, 14), (96, 16, 7), (24, 8, 9), (32, 32, 15)] {
        for batch in [1, 3, 8] {
            let groups = channels / group_width;
            let shape = Shape { batch, groups, group_width, pixels: side * side, hidden: channels / 4 };
            check(&Case::draw(shape, 0.0, 7), &Serial, 1e-5);
            check(&Case::draw(shape, 0.0, 8), &Threads(3), 1e-5);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long under Miri")]
fn a_mean_far_from_zero_costs_no_precision_of_the_variance() {
    let shape = Shape { batch: 1, groups: 1, group_width: 8, pixels: 12545, hidden: 4 };
    let case = Case::draw(shape, 3000.0, 11);
    let expected = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit");
    for set in InstructionSet::available() {
        let (variance, _) = nchw::variance_and_gate(set, &shape, &case.parameters(), &case.x).expect("the buffers fit");
        let difference = relative_difference(&expected.variance, &variance);
        assert!(difference < 1e-5, "{set:?}: {difference:e}");
    }
}

#[test]
fn a_buffer_of_the_wrong_length_is_refused() {
    let shape = Shape { batch: 2, groups: 2, group_width: 4, pixels: 6, hidden: 2 };
    let case = Case::draw(shape, 0.0, 3);
    let mut short = vec![0.0; case.x.len() - 1];
    let refused = nchw::forward(&shape, &case.parameters(), &case.x, &mut short, &Serial);
    assert!(refused.expect_err("Y is short").to_string().starts_with("Y holds 95 numbers"));
    let parameters = Parameters { fc2: &case.fc1[1..], ..case.parameters() };
    assert!(reference::forward(&shape, &parameters, &case.x).expect_err("fc2 is short").to_string().starts_with("fc2"));
}

#[test]
fn the_variance_divides_by_one_less_than_the_pixels() {
    let shape = Shape { batch: 1, groups: 1, group_width: 1, pixels: 4, hidden: 1 };
    let case = Case { x: vec![1.0, 2.0, 3.0, 4.0], ..Case::draw(shape, 0.0, 1) };
    assert_eq!(reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").variance, [5.0 / 3.0]);
    for set in InstructionSet::available() {
        let (variance, _) = nchw::variance_and_gate(set, &shape, &case.parameters(), &case.x).expect("the buffers fit");
        assert_eq!(variance, [5.0 / 3.0], "{set:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long under Miri")]
fn how_work_is_split_never_changes_the_output() {
    for (groups, group_width, batch) in [(1, 64, 1), (1, 64, 3), (16, 16, 1), (40, 16, 2), (64, 16, 9)] {
        let shape = Shape { batch, groups, group_width, pixels: 527, hidden: groups * group_width / 4 };
        let case = Case::draw(shape, 0.5, 9);
        for set in InstructionSet::available() {
            let serial = forward(set, &case, &Serial);
            let same = [2, 3, 8].into_iter().all(|threads| forward(set, &case, &Threads(threads)) == serial);
            assert!(same, "{set:?}, {shape:?}");
        }
    }
}

#[test]
fn what_is_no_number_stays_visible_and_stays_in_its_sample() {
    let shape = Shape { batch: 2, groups: 2, group_width: 16, pixels: 25, hidden: 8 };
    let mut case = Case::draw(shape, 0.0, 3);
    case.x[0] = f32::NAN;
    let expected = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").y;
    let outputs = InstructionSet::available().map(|set| forward(set, &case, &Serial));
    for y in outputs.chain([expected]) {
        let (first, second) = y.split_at(shape.sample_len());
        assert!(first.iter().all(|value| value.is_nan()), "the gate carries it to every channel");
        assert!(second.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn no_sample_gives_no_output() {
    let shape = Shape { batch: 0, groups: 2, group_width: 4, pixels: 6, hidden: 2 };
    nchw::forward(&shape, &Case::draw(shape, 0.0, 3).parameters(), &[], &mut [], &Threads(2)).expect("nothing to do");
}
