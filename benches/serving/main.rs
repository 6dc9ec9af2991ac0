//! The server under load, beside what its cores could do at most: `cargo bench --bench serving -- --seconds 20`.
//!
//! Throughput: closed loops of 8 and 32 clients, as a share of the ceiling `cores / CPU time per picture`, measured before and after in
//! the same run. Overload: four times the requests that the server can answer, with its latencies, refusals and memory.

mod ceiling;
mod client;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use client::{Outcome, closed_loop, open_loop, post};

/// Loads the server and holds it against its ceiling
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,

    /// The classifier's folder
    #[arg(long, default_value = "models/ce_resnet_caltech101/1")]
    model: PathBuf,

    /// Options for the server, such as --max-batch-size=4
    #[arg(long, allow_hyphen_values = true)]
    server: Vec<String>,

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
    fn start(options: &Options) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cenet-serve"))
            .args(["serve", "--http-addr", "127.0.0.1:0", "--log", "cenet_serve=info,cenet_serve::serve::layers=warn"])
            .args(&options.server)
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
fn pictures() -> Vec<Vec<u8>> {
    let root = std::env::var_os("CENET_TEST_DATA").map(PathBuf::from).unwrap_or_default().join("caltech101");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    let step = (found.len() / 128).max(1);
    let read: Vec<_> = found.iter().step_by(step).filter_map(|path| std::fs::read(path).ok()).collect();
    if !read.is_empty() {
        return read;
    }
    let drawn = image::RgbImage::from_fn(500, 375, |x, y| {
        image::Rgb([(x / 2) as u8, (y / 2) as u8, ((x * 31 + y * 17) % 64) as u8 + 90])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    drawn.write_to(&mut file, image::ImageFormat::Jpeg).expect("it can be encoded");
    vec![file.into_inner()]
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jpg") {
            found.push(path);
        }
    }
}

fn percentile_ms(outcomes: &[Outcome], status: impl Fn(u16) -> bool, share: f64) -> f64 {
    let mut latencies: Vec<_> = outcomes.iter().filter(|one| status(one.status)).map(|one| one.latency).collect();
    latencies.sort();
    let position = ((latencies.len() as f64 - 1.0) * share).max(0.0) as usize;
    latencies.get(position).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

fn rate(outcomes: &[Outcome], duration: Duration) -> f64 {
    outcomes.iter().filter(|one| one.status == 200).count() as f64 / duration.as_secs_f64()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::parse();
    let duration = Duration::from_secs(options.seconds);
    let pictures = pictures();
    let name = options.model.parent().and_then(Path::file_name).expect("<name>/<version>").to_string_lossy();
    let path = format!("/classify?model={name}");
    let requests = Arc::new(pictures.iter().map(|picture| post(&path, picture)).collect::<Vec<_>>());
    let cores = available_parallelism().map_or(1, usize::from);
    let ceiling = |threads| {
        let cpu = ceiling::cpu_time_per_picture(&options.model, &pictures, threads, duration / 2);
        println!("  {:.3} ms of CPU time a picture with {threads} of {cores} cores busy", cpu.as_secs_f64() * 1e3);
        cores as f64 / cpu.as_secs_f64()
    };
    println!("{} pictures, {} on {cores} cores", pictures.len(), options.model.display());
    let (alone, busy) = (ceiling(1), ceiling(cores));

    let server = Server::start(&options);
    println!("  server at rest: {} MiB", server.memory_mib().0);
    closed_loop(server.address, &requests, 8, duration / 5).await.expect("it answers");
    let single = closed_loop(server.address, &requests, 1, duration / 2).await.expect("it answers");
    println!(
        "   1 client:  {:7.1} /s, p50 {:.2} ms",
        rate(&single, duration / 2),
        percentile_ms(&single, |_| true, 0.5)
    );
    let mut capacity: f64 = 0.0;
    for clients in [8, 32] {
        let outcomes = closed_loop(server.address, &requests, clients, duration).await.expect("it answers");
        let rate = rate(&outcomes, duration);
        capacity = capacity.max(rate);
        let [p50, p99] = [0.5, 0.99].map(|share| percentile_ms(&outcomes, |_| true, share));
        println!("  {clients:2} clients: {rate:7.1} /s, p50 {p50:.2} ms, p99 {p99:.2} ms");
        println!("              {:.3} of the ceiling with one core busy, {:.3} with all", rate / alone, rate / busy);
    }
    let busy_again = ceiling(cores);
    println!("  ceilings {alone:.1} /s (one busy), {busy:.1} and {busy_again:.1} /s (all busy, before and after)");

    let outcomes = open_loop(server.address, &requests, 4.0 * capacity, duration).await.expect("it answers");
    let share = |status| outcomes.iter().filter(|one| one.status == status).count() as f64 / outcomes.len() as f64;
    println!("  overload, {:.0} /s offered: {:.3} answered, {:.3} refused", 4.0 * capacity, share(200), share(429));
    let accepted = rate(&outcomes, duration);
    println!("    accepted {accepted:.1} /s, {:.3} of capacity", accepted / capacity);
    let [ok_p50, ok_p99] = [0.5, 0.99].map(|part| percentile_ms(&outcomes, |status| status == 200, part));
    let [no_p50, no_p99] = [0.5, 0.99].map(|part| percentile_ms(&outcomes, |status| status == 429, part));
    println!("    accepted p50 {ok_p50:.1} ms, p99 {ok_p99:.1} ms; refused p50 {no_p50:.2} ms, p99 {no_p99:.2} ms");
    let (now, most) = server.memory_mib();
    println!("  server: {now} MiB, {most} MiB at most");
}
