//! What the tests and benches share: blocks with drawn parameters, threads, and a measure of nearness.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod onnx_graph;
pub mod operator_graph;

use std::sync::atomic::{AtomicUsize, Ordering};

use ce_op::{Parallel, Parameters, Shape};

/// Shapes that are drawn for a property; Miri takes seconds for each.
pub const CASES: u32 = if cfg!(miri) { 3 } else { 200 };

/// By how much drawn pictures are smaller.
pub const SHRINKS: usize = if cfg!(miri) { 10 } else { 1 };

/// A block with its input.
#[derive(Debug, Clone)]
pub struct Case {
    pub shape: Shape,
    pub x: Vec<f32>,
    pub whitening: Vec<f32>,
    pub fc1: Vec<f32>,
    pub ln_scale: Vec<f32>,
    pub ln_bias: Vec<f32>,
    pub fc2: Vec<f32>,
    pub gate_scale: f32,
}

impl Case {
    /// Drawn from a seed. `offset` is added to every pixel; a channel's own spread is between 0.5 and 2.
    pub fn draw(shape: Shape, offset: f32, seed: u64) -> Self {
        let channels = shape.channels();
        let mut draw = numbers(seed);
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
            gate_scale: 0.7,
            shape,
            x,
        }
    }

    pub fn parameters(&self) -> Parameters<'_> {
        Parameters {
            whitening: &self.whitening,
            fc1: &self.fc1,
            ln_scale: &self.ln_scale,
            ln_bias: &self.ln_bias,
            fc2: &self.fc2,
            gate_scale: self.gate_scale,
            epsilon: 1e-5,
        }
    }
}

/// Draws so many numbers between -scale and scale at each call, from a seed.
pub fn numbers(seed: u64) -> impl FnMut(usize, f32) -> Vec<f32> {
    let mut state = seed | 1;
    // xorshift64*, uniform in -1..1
    let mut uniform = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1_u64 << 23) as f32 - 1.0
    };
    move |len, scale| (0..len).map(|_| scale * uniform()).collect()
}

/// Runs tasks on as many threads as it says, in whatever order they come.
#[derive(Debug)]
pub struct Threads(pub usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            let index = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&index| index < tasks);
            std::iter::from_fn(index).for_each(task);
        };
        std::thread::scope(|scope| {
            for _ in 1..self.0 {
                scope.spawn(work);
            }
            work();
        });
    }
}

/// Largest difference as a share of the largest expected value; infinite where a value is no number.
pub fn relative_difference(expected: &[f32], actual: &[f32]) -> f32 {
    assert_eq!(expected.len(), actual.len());
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = expected.iter().zip(actual).map(|(expected, actual)| (expected - actual).abs() / largest);
    differences.fold(0.0, |worst: f32, value| if value.is_nan() { f32::INFINITY } else { worst.max(value) })
}
