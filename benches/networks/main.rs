//! What CE costs a network: `cargo bench --bench networks -- --rounds 20`.
//!
//! ResNet-50 beside CE-ResNet-50, this exported the usual way (its CE blocks in standard operators), with the kernel that works
//! in rows, and planned as the server runs it; all by the same ONNX Runtime through the server's own sessions, in turns,
//! so that a machine whose speed drifts is fair to each. Ratios are taken turn by turn.

mod cuda;
mod graph;
mod onnx;
mod profile;
mod report;
mod resnet50;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cenet_serve::backend::Backend;
use cenet_serve::model::{ModelDirectory, Network, OnnxSession, PlanOptions, SessionOptions};
use clap::Parser;
use ndarray::ArrayD;

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

/// Ways to run a network, in the order of the report; the first is what the others are compared with.
pub(crate) const WAYS: [&str; 4] =
    ["ResNet-50", "CE-ResNet-50, usual export", "CE-ResNet-50, kernel in rows", "CE-ResNet-50, planned"];

/// Times of one number of threads and pictures: for each way, for each turn, in milliseconds.
pub(crate) struct Measured {
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    pub(crate) ways: &'static [&'static str],
    pub(crate) times_ms: Vec<Vec<f64>>,
}

struct Networks {
    plain: ModelDirectory,
    ce: ModelDirectory,
    plan: PlanOptions,
}

impl Networks {
    fn written_to(folder: &Path) -> Self {
        let directory = |name: &str, with_ce| {
            let path = folder.join(name).join("1");
            resnet50::write(&path, with_ce);
            ModelDirectory::read(&path).expect("a good directory")
        };
        let plan = PlanOptions { enabled: true, cache: Some(folder.join("plans")) };
        // of an earlier measurement
        let _ = fs::remove_dir_all(folder.join("plans"));
        Self { plain: directory("resnet50", false), ce: directory("ce_resnet50", true), plan }
    }

    fn open(&self, way: usize, options: &SessionOptions) -> OnnxSession {
        let body = SessionOptions { without_native_kernel: true, ..options.clone() };
        let session = match way {
            0 => OnnxSession::load(&self.plain.model_path(), options),
            1 => OnnxSession::load(&self.ce.model_path(), &body),
            2 => OnnxSession::load(&self.ce.model_path(), options),
            _ => Network::of(&self.ce, &self.plan).open_session(options),
        };
        session.expect("a session")
    }
}

fn main() {
    let options = Options::parse();
    let networks = Networks::written_to(&options.folder);
    if options.cuda {
        return cuda::measure(&networks, &options);
    }
    let network = Network::of(&networks.ce, &networks.plan);
    println!("plan: {}, {:?}", network.origin(), network.coverage());
    let mut measured = Vec::new();
    for &threads in &options.threads {
        let open = |way| networks.open(way, &SessionOptions { threads, ..SessionOptions::default() });
        let mut sessions: Vec<_> = (0..WAYS.len()).map(open).collect();
        for &batch in &options.batch {
            let rounds = if batch > 1 { options.rounds.div_ceil(3) } else { options.rounds };
            measured.push(Measured { threads, batch, ways: &WAYS, times_ms: turns(&mut sessions, batch, rounds) });
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

fn turns(sessions: &mut [OnnxSession], batch: usize, rounds: usize) -> Vec<Vec<f64>> {
    let input = pictures(batch);
    let mut times = vec![Vec::new(); sessions.len()];
    for round in 0..=rounds {
        for offset in 0..sessions.len() {
            let way = (round + offset) % sessions.len();
            let time = time_ms(|| drop(sessions[way].infer(input.clone()).expect("an answer")));
            // the first is for warming up
            if round > 0 {
                times[way].push(time);
            }
        }
    }
    times
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
        for (way, times) in [0, WAYS.len() - 1].into_iter().zip(&mut times) {
            times.push(time_ms(|| {
                drop(networks.open(way, &SessionOptions { threads: 1, ..SessionOptions::default() }));
            }));
        }
    }
    times
}

fn time_ms(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e3
}
