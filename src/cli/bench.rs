//! `cenet-serve bench`: loads a server and tells how it bears it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::load::report::{HEAD, Knee, Load, Report, RunReport, html, row};
use crate::load::{
    Bounds, Control, GrpcTarget, HttpTarget, Question, Search, Target, Verdict, closed_loop, drawn_picture, open_loop,
    read_pictures,
};
use crate::manifest::Task;

/// Clients of the closed loops when nothing is said.
const CLIENTS: [usize; 3] = [1, 8, 32];
/// The knee is looked for from this part of what the best closed loop got.
const KNEE_BEGINS_AT: f64 = 0.25;
/// What a shell says of a program that was interrupted.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
pub(super) struct BenchOptions {
    /// The server: http://HOST:PORT, of the face that --protocol names
    #[arg(default_value = "http://127.0.0.1:8000", value_parser = url)]
    url: Uri,

    /// A picture, or a folder of pictures, asked about by turns; a drawn one by default
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,

    /// What is asked
    #[arg(long, value_enum, default_value_t = TaskName::Classify)]
    task: TaskName,

    /// The model, where several serve the task
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// How it is asked
    #[arg(long, value_enum, default_value_t = Protocol::Http)]
    protocol: Protocol,

    /// A header, or metadata, of each request
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// Closed loops of so many clients, each waiting for its answers [default: 1,8,32 unless rates are given]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=900))]
    concurrency: Vec<u16>,

    /// Open loops at so many requests a second, whether the server keeps up or not
    #[arg(long, value_name = "RATE", value_delimiter = ',', value_parser = rate)]
    rate: Vec<f64>,

    /// Also look for the highest rate that the server keeps up with
    #[arg(long)]
    knee: bool,

    /// Latency in ms that at most a hundredth of the requests may exceed below the knee [default: five times that of the lowest rate]
    #[arg(long, value_name = "MS", requires = "knee", value_parser = rate)]
    p99_ms: Option<f64>,

    /// How long each run is counted
    #[arg(long, value_name = "TIME", default_value = "10s")]
    duration: humantime::Duration,

    /// How long each run goes on before it is counted
    #[arg(long, value_name = "TIME", default_value = "1s")]
    warmup: humantime::Duration,

    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: humantime::Duration,

    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a report with curves, one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TaskName {
    Classify,
    Detect,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Protocol {
    Http,
    Grpc,
}

fn url(text: &str) -> Result<Uri, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    whole.parse().map_err(|error| format!("{error}"))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header reads NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is no number above 0"))
}

impl BenchOptions {
    fn question(&self) -> Result<Question, Failure> {
        let pictures = match &self.image {
            Some(path) => read_pictures(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => vec![drawn_picture()],
        };
        Ok(Question { task: self.task.into(), model: self.model.clone(), pictures, headers: self.header.clone() })
    }

    fn concurrency(&self) -> Vec<usize> {
        match (self.concurrency.as_slice(), self.rate.is_empty()) {
            ([], true) => CLIENTS.to_vec(),
            (given, _) => given.iter().copied().map(usize::from).collect(),
        }
    }

    fn control(&self, stop: &CancellationToken) -> Control {
        Control { warm_up: *self.warmup, timeout: *self.timeout, stop: stop.clone(), ..Control::new(*self.duration) }
    }

    fn report(&self, pictures: usize) -> Report {
        Report {
            url: self.url.to_string(),
            protocol: format!("{:?}", self.protocol).to_lowercase(),
            task: Task::from(self.task).to_string(),
            model: self.model.clone(),
            pictures,
            duration_s: self.duration.as_secs_f64(),
            runs: Vec::new(),
            knee: None,
            interrupted: false,
        }
    }
}

impl From<TaskName> for Task {
    fn from(name: TaskName) -> Self {
        match name {
            TaskName::Classify => Self::Classify,
            TaskName::Detect => Self::Detect,
        }
    }
}

/// Fails with 1 when the server can't be asked, or answers nothing well; 130 when it was interrupted.
pub(super) fn run(options: &BenchOptions) -> Result<ExitCode, Failure> {
    let question = options.question()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = options.report(question.pictures.len());
    let report = match options.protocol {
        Protocol::Http => runtime.block_on(measure(HttpTarget::new(&options.url, question)?, options, report)),
        Protocol::Grpc => runtime.block_on(measure(GrpcTarget::new(&options.url, question)?, options, report)),
    }?;
    // what is still asked is not waited for
    runtime.shutdown_background();
    if let Some(path) = &options.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &options.report {
        write(path, &html(&report))?;
    }
    match (report.interrupted, report.runs.iter().any(|run| run.summary.answered > 0)) {
        (true, _) => Ok(ExitCode::from(INTERRUPTED)),
        (false, true) => Ok(ExitCode::SUCCESS),
        (false, false) => Err("no request was answered well".into()),
    }
}

fn write(path: &PathBuf, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| format!("can't write {}: {error}", path.display()).into())
}

async fn measure<T: Target>(target: T, options: &BenchOptions, report: Report) -> Result<Report, Failure> {
    let target = Arc::new(target);
    try_out(&*target, options).await?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_at_a_signal(stop.clone()));
    writeln!(io::stdout(), "{HEAD}")?;
    let mut bench = Bench { target, control: options.control(&stop), report };
    for clients in options.concurrency() {
        bench.run(Load::Closed { clients }).await?;
    }
    for rate_per_s in options.rate.iter().copied() {
        bench.run(Load::Open { rate_per_s }).await?;
    }
    if options.knee {
        bench.find_knee(options).await?;
    }
    bench.report.interrupted = stop.is_cancelled();
    Ok(bench.report)
}

/// One request, so that what is wrong altogether is told at once.
async fn try_out<T: Target>(target: &T, options: &BenchOptions) -> Result<(), Failure> {
    let asking = async {
        let mut connection = target.connect().await?;
        target.ask(&mut connection, 0).await
    };
    let wrong = match tokio::time::timeout(*options.timeout, asking).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure.code,
        Err(_) => format!("no answer within {}", options.timeout),
    };
    let hint = match options.protocol {
        Protocol::Http => " (HTTP is at port 8000 unless the server was told otherwise)",
        Protocol::Grpc => " (gRPC is at port 8001 unless the server was told otherwise)",
    };
    Err(format!("{} can't be asked to {}: {wrong}{hint}", options.url, Task::from(options.task)).into())
}

/// The first signal ends the runs, the second the program.
async fn stop_at_a_signal(stop: CancellationToken) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.is_cancelled() {
            std::process::exit(INTERRUPTED.into());
        }
        stop.cancel();
    }
}

/// The runs so far.
struct Bench<T: Target> {
    target: Arc<T>,
    control: Control,
    report: Report,
}

impl<T: Target> Bench<T> {
    /// A run, told in a line when it has ended.
    async fn run(&mut self, load: Load) -> Result<(), Failure> {
        if self.control.stop.is_cancelled() {
            return Ok(());
        }
        let control = Control { ended: Arc::default(), ..self.control.clone() };
        let bar = progress(&control);
        let watching = tokio::spawn(watch(bar.clone(), control.clone()));
        let tally = match load {
            Load::Closed { clients } => closed_loop(&self.target, clients, &control).await,
            Load::Open { rate_per_s } => open_loop(&self.target, rate_per_s, &control).await,
        };
        watching.abort();
        bar.finish_and_clear();
        let run = RunReport { load, summary: tally.summary() };
        writeln!(io::stdout(), "{}", row(&run))?;
        self.report.runs.push(run);
        Ok(())
    }

    async fn find_knee(&mut self, options: &BenchOptions) -> Result<(), Failure> {
        let bounds = Bounds { p99_ms: options.p99_ms, ..Bounds::default() };
        let best = self.report.runs.iter().map(|run| run.summary.answered_per_s).fold(0.0, f64::max);
        let mut search = Search::new((best * KNEE_BEGINS_AT).max(1.0), bounds);
        while let Some(rate_per_s) = search.next_rate() {
            self.run(Load::Open { rate_per_s }).await?;
            if self.control.stop.is_cancelled() {
                return Ok(());
            }
            let Some(run) = self.report.runs.last() else { return Ok(()) };
            if search.tell(rate_per_s, &run.summary) != Verdict::KeptUp {
                self.settle().await;
            }
        }
        let knee = Knee {
            rate_per_s: search.knee(),
            p99_bound_ms: search.p99_bound_ms(),
            answered_share: bounds.answered_share,
        };
        writeln!(io::stdout(), "{}", knee_line(&knee))?;
        self.report.knee = Some(knee);
        Ok(())
    }

    /// Waits until the server has done what was too much for it.
    async fn settle(&self) {
        let control = Control { warm_up: Duration::ZERO, duration: Duration::from_millis(500), ..self.control.clone() };
        closed_loop(&self.target, 1, &control).await;
    }
}

fn knee_line(knee: &Knee) -> String {
    let bound = knee.p99_bound_ms.map(|bound| format!(", p99 within {bound:.1} ms")).unwrap_or_default();
    match knee.rate_per_s {
        Some(rate) => format!("knee: the server keeps up with {rate:.1} requests a second{bound}"),
        None => "knee: the server kept up with none of the rates that were tried".into(),
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(control: &Control) -> ProgressBar {
    let bar = ProgressBar::new(control.whole().as_millis() as u64);
    let style = ProgressStyle::with_template("{bar:30} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

async fn watch(bar: ProgressBar, control: Control) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        bar.set_position(begun.elapsed().as_millis() as u64);
        bar.set_message(format!("{} answers", control.ended.load(Ordering::Relaxed)));
    }
}
