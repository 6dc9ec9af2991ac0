//! Ways to run a network, and how long each takes.

use std::time::Instant;

use cenet_serve::backend::Backend;
use cenet_serve::model::OnnxSession;
use ndarray::ArrayD;

/// What runs a network.
pub(crate) trait Runs {
    /// Milliseconds for `pictures`, `[N, 3, H, W]`.
    fn run_ms(&mut self, pictures: &ArrayD<f32>) -> f64;
}

impl Runs for OnnxSession {
    fn run_ms(&mut self, pictures: &ArrayD<f32>) -> f64 {
        time_ms(|| drop(self.infer(pictures.clone()).expect("an answer")))
    }
}

/// One of the ways that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    PlainPlanned,
    UsualExport,
    KernelInRows,
    Planned,
    PlainInt8,
    PlannedInt8,
    Eager,
}

impl Way {
    /// Those that need nothing but this program; the first is what the others are compared with.
    pub(crate) const OWN: [Self; 5] =
        [Self::Plain, Self::PlainPlanned, Self::UsualExport, Self::KernelInRows, Self::Planned];
    /// Those that Python makes or runs.
    pub(crate) const OF_PYTHON: [Self; 3] = [Self::PlainInt8, Self::PlannedInt8, Self::Eager];

    /// As the report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "ResNet-50",
            Self::PlainPlanned => "ResNet-50, planned",
            Self::UsualExport => "CE-ResNet-50, usual export",
            Self::KernelInRows => "CE-ResNet-50, kernel in rows",
            Self::Planned => "CE-ResNet-50, planned",
            Self::PlainInt8 => "ResNet-50, 8 bits",
            Self::PlannedInt8 => "CE-ResNet-50, 8 bits, planned",
            Self::Eager => "CE-ResNet-50, PyTorch eager",
        }
    }
}

/// Times of one number of threads and pictures: of each way, of each turn, in milliseconds.
pub(crate) struct Measured {
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    pub(crate) times_ms: Vec<(&'static str, Vec<f64>)>,
}

/// Lets each of `ways` run `pictures` in every round; who goes first changes with the round.
pub(crate) fn turns(
    ways: &mut [(&'static str, Box<dyn Runs>)],
    threads: usize,
    pictures: &ArrayD<f32>,
    rounds: usize,
) -> Measured {
    let mut times_ms: Vec<_> = ways.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..=rounds {
        for offset in 0..ways.len() {
            let way = (round + offset) % ways.len();
            let time = ways[way].1.run_ms(pictures);
            // the first is for warming up
            if round > 0 {
                times_ms[way].1.push(time);
            }
        }
    }
    Measured { threads, batch: pictures.shape()[0], times_ms }
}

pub(crate) fn time_ms(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e3
}
