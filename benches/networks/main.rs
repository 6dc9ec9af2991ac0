//! What CE costs a network: `cargo bench --bench networks -- --rounds 20`.
//!
//! ResNet-50 as ONNX Runtime runs it and as the server does, beside CE-ResNet-50, this exported the usual way (its CE blocks in standard operators), with the kernel that works
//! in rows, and planned as the server runs it; all by the same ONNX Runtime through the server's own sessions, in turns,
//! so that a machine whose speed drifts is fair to each. Ratios are taken turn by turn. `--python .cache/python-venv/bin/python`
//! (`make python`) adds both networks in 8 bits, and PyTorch.

mod cuda;
mod graph;
mod onnx;
mod profile;
mod python;
mod report;
mod resnet50;
mod ways;

use std::fs;
use std::path::{Path, PathBuf};

use cenet_serve::backend::Backend;
use cenet_serve::model::{ModelDirectory, Network, OnnxSession, PlanOptions, SessionOptions};
use clap::Parser;
use ndarray::ArrayD;
use python::Eager;
use ways::{Runs, Way, time_ms, turns};

/// Times ResNet-50 and CE-ResNet-50 in turns
#[derive(Parser)]
struct Options {
    /// Turns of one picture; of eight pictures there are a third
    #[arg(long, default_value_t = 30)]
    rounds: usize,

    /// Threads of an inference, one or more numbers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,

    /// Pictures in a batch, one or more numbers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8])]
    batch: Vec<usize>,

    /// Compare them on a GPU, by CUDA; needs onnxruntime-gpu's library
    #[arg(long)]
    cuda: bool,

    /// A Python that has the package cenet: compares 8 bits and PyTorch, too
    #[arg(long, env = "CENET_BENCH_PYTHON")]
    python: Option<PathBuf>,

    /// Where the networks and the plans are put
    #[arg(long, default_value = "target/bench-networks")]
    folder: PathBuf,

    /// A Markdown file to write the report to, a plot beside it
    #[arg(long, env = "CENET_BENCH_REPORT")]
    report: Option<PathBuf>,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

struct Networks {
    plain: ModelDirectory,
    ce: ModelDirectory,
    /// Both in 8 bits, where Python is at hand.
    int8: Option<[ModelDirectory; 2]>,
    plan: PlanOptions,
}

impl Networks {
    fn written_to(folder: &Path, python: Option<&Path>) -> Self {
        let paths = ["resnet50", "ce_resnet50"].map(|name| folder.join(name).join("1"));
        let directory = |path: &Path, with_ce| {
            resnet50::write(path, with_ce);
            ModelDirectory::read(path).expect("a good directory")
        };
        let [plain, ce] = [directory(&paths[0], false), directory(&paths[1], true)];
        let int8 = python.map(|python| paths.each_ref().map(|path| python::quantized(python, path)));
        let plan = PlanOptions { enabled: true, cache: Some(folder.join("plans")) };
        // of an earlier measurement
        let _ = fs::remove_dir_all(folder.join("plans"));
        Self { plain, ce, int8, plan }
    }

    /// `way` is one that a session runs.
    fn open(&self, way: Way, options: &SessionOptions) -> OnnxSession {
        let body = SessionOptions { without_native_kernel: true, ..options.clone() };
        let int8 = || self.int8.as_ref().expect("they were written");
        let session = match way {
            Way::Plain => OnnxSession::load(&self.plain.model_path(), options),
            Way::UsualExport | Way::Eager => OnnxSession::load(&self.ce.model_path(), &body),
            Way::KernelInRows => OnnxSession::load(&self.ce.model_path(), options),
            Way::PlainPlanned => Network::of(&self.plain, &self.plan).open_session(options),
            Way::Planned => Network::of(&self.ce, &self.plan).open_session(options),
            Way::PlainInt8 => OnnxSession::load(&int8()[0].model_path(), options),
            Way::PlannedInt8 => Network::of(&int8()[1], &self.plan).open_session(options),
        };
        session.expect("a session")
    }

    fn runner(&self, way: Way, threads: usize, python: Option<&Path>) -> Box<dyn Runs> {
        match (way, python) {
            (Way::Eager, Some(python)) => Box::new(Eager::start(python, threads)),
            _ => Box::new(self.open(way, &SessionOptions { threads, ..SessionOptions::default() })),
        }
    }
}

fn main() {
    let options = Options::parse();
    let python = options.python.as_deref();
    let networks = Networks::written_to(&options.folder, python.filter(|_| !options.cuda));
    if options.cuda {
        return cuda::measure(&networks, &options);
    }
    let network = Network::of(&networks.ce, &networks.plan);
    println!("plan: {}, {:?}", network.origin(), network.coverage());
    let of_python = python.map_or(&[][..], |_| &Way::OF_PYTHON);
    let mut measured = Vec::new();
    for &threads in &options.threads {
        let runner = |way: &Way| (way.name(), networks.runner(*way, threads, python));
        let mut ways: Vec<_> = Way::OWN.iter().chain(of_python).map(runner).collect();
        for &batch in &options.batch {
            let rounds = if batch > 1 { options.rounds.div_ceil(3) } else { options.rounds };
            measured.push(turns(&mut ways, threads, &pictures(batch), rounds));
            print!("{}", report::table(&measured[measured.len() - 1..]));
        }
    }
    let shares = options.threads.iter().map(|&threads| profile::shares(&networks, threads)).collect::<Vec<_>>();
    let loads = load_times(&networks);
    let text = report::text(&measured, &shares, &loads);
    println!("\n{text}");
    if let Some(path) = &options.report {
        report::write(path, &text, &measured);
    }
}

/// Prints how far apart the answers of the sessions are, which should run the same network.
fn compare(sessions: &mut [OnnxSession], batch: usize) {
    let mut answers =
        sessions.iter_mut().map(|session| session.infer(pictures(batch)).expect("an answer").swap_remove(0));
    let first = answers.next().expect("a session");
    let size = first.iter().fold(0_f32, |most, value| most.max(value.abs()));
    for other in answers {
        let apart = first.iter().zip(&other).fold(0_f32, |most, (a, b)| most.max((a - b).abs()));
        println!("answers differ by {:.1e} of the largest", apart / size);
    }
}

/// Colours that vary over the picture.
fn pictures(batch: usize) -> ArrayD<f32> {
    let side = resnet50::SIDE;
    let mut index = 0_usize;
    ArrayD::from_shape_simple_fn([batch, 3, side, side].as_slice(), || {
        index += 1;
        ((index % 977) as f32 / 488.0 - 1.0) + ((index / side) as f32 * 0.1).sin()
    })
}

/// Times of loading ResNet-50, and CE-ResNet-50 by a kept plan, in milliseconds.
fn load_times(networks: &Networks) -> [Vec<f64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        for (way, times) in [Way::Plain, Way::Planned].into_iter().zip(&mut times) {
            times.push(time_ms(|| {
                drop(networks.open(way, &SessionOptions { threads: 1, ..SessionOptions::default() }));
            }));
        }
    }
    times
}
