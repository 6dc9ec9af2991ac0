//! The server under load, beside what its cores could do at most: `cargo bench --bench serving -- --rounds 10`.
//!
//! Throughput: closed loops of 8 and 32 clients, as a share of the ceiling `cores / CPU time per picture`; both are measured in turns, a
//! second or two each, so that a machine whose speed drifts is fair to both. Overload: four times the requests that the server can
//! answer, with its latencies, refusals and memory. The clients share the server's cores; what they use is told.
//!
//! With `--against=OPTION` instead: what a server with that option answers of what one without it does, in turns.

mod ceiling;
mod collector;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use cenet_serve::load::{Control, HttpTarget, Question, Summary, closed_loop, drawn_picture, open_loop, read_pictures};
use cenet_serve::model::ModelDirectory;
use clap::Parser;

/// Loads the server and holds it against its ceiling
#[derive(Parser)]
struct Options {
    /// Turns of ceiling, 8 clients, 32 clients; some seconds each
    #[arg(long, default_value_t = 10)]
    rounds: usize,

    /// Seconds of overload
    #[arg(long, default_value_t = 20)]
    overload_seconds: u64,

    /// The folder of a shipped model: a classifier's or a detector's; the default answers /classify by default
    #[arg(long, default_value = "models/ce_efficientnet_lite0/1")]
    model: PathBuf,

    /// Options for the server, such as --max-batch-size=4
    #[arg(long, allow_hyphen_values = true)]
    server: Vec<String>,

    /// Options for a second server, which is held against the first; {collector} is the URL of a collector of traces
    #[arg(long, allow_hyphen_values = true)]
    against: Vec<String>,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server of its own process.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(options: &Options, further: &[String]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cenet-serve"))
            .args(["serve", "--http-addr", "127.0.0.1:0", "--single-port"])
            .args(["--log", "cenet_serve=info,cenet_serve::serve::observe=warn"])
            .args(&options.server)
            .args(further)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let address = log
            .by_ref()
            .find_map(|line| line.ok()?.split_once("http_addr=")?.1.trim().parse().ok())
            .expect("the server listens");
        // whoever writes must be read
        std::thread::spawn(move || log.for_each(drop));
        Self { process, address }
    }

    /// The same for clients, who ask `question`.
    fn target(&self, question: Question) -> Arc<HttpTarget> {
        let url = format!("http://{}", self.address).parse().expect("a URL");
        Arc::new(HttpTarget::new(&url, question).expect("a model's name"))
    }

    /// Resident memory in MiB: now, and the most that there was.
    fn memory_mib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let kib = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).expect("Linux tells");
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// JPEG photos of Caltech-101 where they are at hand; else one that is drawn.
fn pictures() -> Vec<Bytes> {
    let root = std::env::var_os("CENET_TEST_DATA").map(PathBuf::from).unwrap_or_default().join("caltech101");
    read_pictures(&root).unwrap_or_else(|_| vec![drawn_picture()])
}

/// The middle one, with the smallest and the largest.
fn spread(mut numbers: Vec<f64>) -> String {
    numbers.sort_by(f64::total_cmp);
    let [least, middle, most] = [0, numbers.len() / 2, numbers.len() - 1].map(|position| numbers[position]);
    format!("{middle:.3} ({least:.3} to {most:.3})")
}

async fn closed(target: &Arc<HttpTarget>, clients: usize, duration: Duration) -> Summary {
    closed_loop(target, clients, &Control::new(duration)).await.summary()
}

/// One picture alone, and how long a full batch takes: the answers of a lone client, and of as many at once as fill a batch.
async fn unloaded(target: &Arc<HttpTarget>) -> [f64; 2] {
    let mut medians = [0.0; 2];
    for (median, clients) in medians.iter_mut().zip([1, 8]) {
        let summary = closed(target, clients, Duration::from_secs(3)).await;
        *median = summary.latency_ms.expect("it answers").p50;
    }
    medians
}

/// The best rate of answers.
async fn throughput(options: &Options, target: &Arc<HttpTarget>, pictures: &[Bytes]) -> f64 {
    let cores = available_parallelism().map_or(1, usize::from);
    let turn = Duration::from_secs(1);
    let ceiling =
        |threads| cores as f64 / ceiling::cpu_time_per_picture(&options.model, pictures, threads, turn).as_secs_f64();
    let (mut shares, mut rates) = ([const { Vec::new() }; 4], [const { Vec::new() }; 2]);
    for _ in 0..options.rounds {
        let ceilings = [ceiling(1), ceiling(cores)];
        for (position, clients) in [8, 32].into_iter().enumerate() {
            let rate = closed(target, clients, 2 * turn).await.answered_per_s;
            rates[position].push(rate);
            shares[2 * position].push(rate / ceilings[0]);
            shares[2 * position + 1].push(rate / ceilings[1]);
        }
    }
    let best = rates[1].iter().copied().fold(0.0, f64::max);
    let [eight, thirty_two] = rates.map(spread);
    let [eight_alone, eight_busy, more_alone, more_busy] = shares.map(spread);
    println!("   8 clients: {eight} /s; of the ceiling {eight_alone} with one core busy, {eight_busy} with all");
    println!("  32 clients: {thirty_two} /s; of the ceiling {more_alone} with one core busy, {more_busy} with all");
    best
}

/// Latencies count from the moment at which a request was due.
async fn overload(options: &Options, target: &Arc<HttpTarget>, capacity: f64) {
    let cores = available_parallelism().map_or(1, usize::from) as f64;
    let duration = Duration::from_secs(options.overload_seconds);
    let capacity_before = closed(target, 32, duration / 4).await.answered_per_s;
    let started = ceiling::thread_cpu_time();
    let summary = open_loop(target, 4.0 * capacity, &Control::new(duration)).await.summary();
    let clients = (ceiling::thread_cpu_time() - started).as_secs_f64() / duration.as_secs_f64();
    let capacity_after = closed(target, 32, duration / 4).await.answered_per_s;
    // the machine's speed drifts
    let capacity_now = f64::midpoint(capacity_before, capacity_after);
    let accepted = summary.answered_per_s;
    let refused = summary.failed.get("overloaded");
    let refusals = refused.map_or(0, |refused| refused.count);
    println!(
        "overload: {:.0} /s offered; {} answered, {refusals} refused, {} others",
        4.0 * capacity,
        summary.answered,
        summary.requests - summary.answered - refusals
    );
    println!(
        "  accepted {accepted:.1} /s, {:.3} of the {capacity_before:.1} before and {capacity_after:.1} after",
        accepted / capacity_now
    );
    println!(
        "  the clients took {clients:.2} of {cores} cores; of what they left {:.3}",
        accepted / capacity_now * cores / (cores - clients)
    );
    let latency = summary.latency_ms.expect("it answers");
    println!("  accepted p50 {:.1} ms, p99 {:.1} ms", latency.p50, latency.p99);
    if let Some(refused) = refused {
        println!("  refused p50 {:.2} ms, p99 {:.2} ms", refused.p50_ms, refused.p99_ms);
    }
}

/// What a server with further options answers of what `server` does; who goes first changes with each turn.
async fn compare(options: &Options, target: &Arc<HttpTarget>, question: Question) {
    let collector = collector::start();
    let further: Vec<_> = options.against.iter().map(|option| option.replace("{collector}", &collector)).collect();
    let server = Server::start(options, &further);
    let other = &server.target(question);
    let turn = Duration::from_secs(2);
    let rate_of = async |target| closed(target, 32, turn).await.answered_per_s;
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let (without, with) = if round % 2 == 0 {
            let without = rate_of(target).await;
            (without, rate_of(other).await)
        } else {
            let with = rate_of(other).await;
            (rate_of(target).await, with)
        };
        rates.push(without);
        shares.push(with / without);
    }
    println!("32 clients: {} /s; with {further:?} {} of it", spread(rates), spread(shares));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::parse();
    let pictures = pictures();
    let name = options.model.parent().and_then(Path::file_name).expect("<name>/<version>").to_string_lossy();
    let task = ModelDirectory::read(&options.model).expect("the model is good").manifest.task;
    let question = Question { task, model: Some(name.into_owned()), pictures: pictures.clone(), headers: Vec::new() };
    let server = Server::start(&options, &[]);
    let target = server.target(question.clone());
    if !options.against.is_empty() {
        return compare(&options, &target, question).await;
    }
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{} pictures, {} on {cores} cores", pictures.len(), options.model.display());
    println!("  server at rest: {} MiB", server.memory_mib().0);
    let [one, batch] = unloaded(&target).await;
    println!("  unloaded: {one:.2} ms for a picture alone, {batch:.2} ms for eight at once");
    let capacity = throughput(&options, &target, &pictures).await;
    overload(&options, &target, capacity).await;
    let (now, most) = server.memory_mib();
    println!("server: {now} MiB, {most} MiB at most");
}
