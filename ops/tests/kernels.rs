//! Every instruction set against the plain reference, on shapes of all kinds.

use ce_op::{InstructionSet, Parallel, Parameters, Serial, Shape, nchw, reference};
use proptest::prelude::*;

/// A block with its input, drawn from a seed.
struct Case {
    shape: Shape,
    x: Vec<f32>,
    whitening: Vec<f32>,
    fc1: Vec<f32>,
    ln_scale: Vec<f32>,
    ln_bias: Vec<f32>,
    fc2: Vec<f32>,
}

impl Case {
    /// `offset` is added to every pixel; a channel's own spread is between 0.5 and 2.
    fn draw(shape: Shape, offset: f32, seed: u64) -> Self {
        let mut state = seed | 1;
        // xorshift64*, uniform in -1..1
        let mut uniform = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
            bits as f32 / (1_u64 << 23) as f32 - 1.0
        };
        let channels = shape.channels();
        let mut draw = |len: usize, scale: f32| (0..len).map(|_| scale * uniform()).collect::<Vec<f32>>();
        let width_scale = 1.0 / (shape.group_width as f32).sqrt();
        let mut x = draw(shape.batch * shape.sample_len(), 1.0);
        for (channel, pixels) in x.chunks_exact_mut(shape.pixels).enumerate() {
            let spread = 0.5 + 1.5 * (channel % 7) as f32 / 7.0;
            pixels.iter_mut().for_each(|value| *value = *value * spread + offset);
        }
        Self {
            whitening: draw(channels * shape.group_width, width_scale),
            fc1: draw(shape.hidden * channels, 1.0),
            ln_scale: draw(shape.hidden, 1.0),
            ln_bias: draw(shape.hidden, 1.0),
            fc2: draw(channels * shape.hidden, 0.5),
            shape,
            x,
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            whitening: &self.whitening,
            fc1: &self.fc1,
            ln_scale: &self.ln_scale,
            ln_bias: &self.ln_bias,
            fc2: &self.fc2,
            gate_scale: 0.7,
            epsilon: 1e-5,
        }
    }

    fn check(&self, parallel: &impl Parallel, tolerance: f32) {
        let expected = reference::forward(&self.shape, &self.parameters(), &self.x).expect("the buffers fit");
        for set in InstructionSet::available() {
            let mut y = vec![f32::NAN; self.x.len()];
            nchw::forward_with(set, &self.shape, &self.parameters(), &self.x, &mut y, parallel)
                .expect("the buffers fit");
            let (variance, gate) =
                nchw::variance_and_gate(set, &self.shape, &self.parameters(), &self.x).expect("the buffers fit");
            for (what, expected, actual) in
                [("variance", &expected.variance, &variance), ("gate", &expected.gate, &gate), ("Y", &expected.y, &y)]
            {
                let difference = relative_difference(expected, actual);
                assert!(difference < tolerance, "{what}, {set:?}, {:?}: {difference:e}", self.shape);
            }
        }
    }
}

/// Largest difference as a share of the largest expected value; infinite where a value is no number.
fn relative_difference(expected: &[f32], actual: &[f32]) -> f32 {
    assert_eq!(expected.len(), actual.len());
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = expected.iter().zip(actual).map(|(expected, actual)| (expected - actual).abs() / largest);
    differences.fold(0.0, |worst: f32, value| if value.is_nan() { f32::INFINITY } else { worst.max(value) })
}

/// Runs tasks on threads of its own, in whatever order they come.
struct Threads;

impl Parallel for Threads {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for index in (0..tasks).rev() {
                scope.spawn(move || task(index));
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_shape(
        batch in 1_usize..4,
        groups in 1_usize..5,
        group_width in prop::sample::select(vec![1_usize, 3, 5, 8, 12, 16, 24, 32, 64]),
        pixels in 2_usize..90,
        hidden in 1_usize..20,
        seed: u64,
    ) {
        let shape = Shape { batch, groups, group_width, pixels, hidden };
        // LayerNorm over a few nearly equal numbers multiplies rounding: 1e-5 is asked of real blocks below
        Case::draw(shape, 0.0, seed).check(&Serial, if hidden < 4 { 1e-3 } else { 5e-5 });
    }
}

#[test]
fn the_shapes_of_networks() {
    for (channels, group_width, side) in [(64, 64, 28), (256, 16, 14), (96, 16, 7), (24, 8, 9), (32, 32, 15)] {
        for batch in [1, 3, 8] {
            let groups = channels / group_width;
            let shape = Shape { batch, groups, group_width, pixels: side * side, hidden: channels / 4 };
            Case::draw(shape, 0.0, 7).check(&Serial, 1e-5);
            Case::draw(shape, 0.0, 8).check(&Threads, 1e-5);
        }
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_precision_of_the_variance() {
    let shape = Shape { batch: 1, groups: 1, group_width: 8, pixels: 3136, hidden: 4 };
    let case = Case::draw(shape, 300.0, 11);
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
