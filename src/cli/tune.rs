//! `cenet-serve tune`: how a model is best run on this machine, written into its `model.toml`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::load::{drawn_picture, read_pictures};
use crate::manifest::Manifest;
use crate::model::{ModelDirectory, locate};
use crate::tune::{
    Bench, Comparison, Setting, Trial, batch_sizes, compare, delays, instances_and_threads, read, written,
};

#[derive(Debug, clap::Args)]
pub(super) struct TuneOptions {
    /// A model's folder, or its name in the model repository
    model: PathBuf,

    /// A picture, or a folder of pictures, asked about by turns; the model's golden picture by default
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,

    /// Clients that ask at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    concurrency: u16,

    /// Turns of each setting
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=100))]
    repeats: u16,

    /// How long a turn is
    #[arg(long, value_name = "TIME", default_value = "1s")]
    duration: humantime::Duration,

    /// Only tell; leave model.toml as it is
    #[arg(long)]
    dry_run: bool,

    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    model_repository: PathBuf,
}

const HEAD: &str = "instances x threads  batch  delay us   images/s    p50 ms    p99 ms  beside the present one";

pub(super) fn run(options: &TuneOptions) -> Result<ExitCode, Failure> {
    let path = locate(&options.model, &options.model_repository)?;
    let pictures = pictures(options, &path)?;
    let bench = Bench::new(&path, pictures, options.concurrency.into(), *options.duration)?;
    let cores = available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build()?;
    let present = read(&bench.directory.manifest);
    let found = runtime.block_on(search(&bench, present, cores, options.repeats))?;
    let mut output = io::stdout().lock();
    let Some(best) = found else {
        writeln!(output, "\nnothing is better by more than the noise: {} stays as it is", path.display())?;
        return Ok(ExitCode::SUCCESS);
    };
    let file = path.join("model.toml");
    if options.dry_run {
        writeln!(output, "\nbest, for {}:\n\n{}", file.display(), lines(&best))?;
        return Ok(ExitCode::SUCCESS);
    }
    save(&file, &written(&bench.manifest, &best)?)?;
    writeln!(output, "\nwritten to {}:\n\n{}", file.display(), lines(&best))?;
    Ok(ExitCode::SUCCESS)
}

fn lines(setting: &Setting) -> String {
    let Setting { instances, threads, max_size, queue_delay_us } = setting;
    format!(
        "[batching]\nmax_size = {max_size}\nqueue_delay_us = {queue_delay_us}\n\n[runtime]\ninstances = {instances}\nthreads = {threads}"
    )
}

/// Whole, or not at all: a server may be watching the folder.
fn save(file: &Path, text: &str) -> Result<(), Failure> {
    Manifest::parse(text)?;
    let failed = |error: io::Error| format!("can't write {}: {error}", file.display());
    let beside = file.with_extension("toml.new");
    fs::write(&beside, text).map_err(failed)?;
    fs::rename(&beside, file).map_err(failed)?;
    Ok(())
}

fn pictures(options: &TuneOptions, path: &Path) -> Result<Vec<Bytes>, Failure> {
    let golden = ModelDirectory::read(path)?.manifest.golden.and_then(|golden| golden.image);
    let from = options.image.clone().or_else(|| golden.map(|name| path.join(name)));
    match from {
        Some(from) => Ok(read_pictures(&from).map_err(|error| format!("{}: {error}", from.display()))?),
        None => Ok(vec![drawn_picture()]),
    }
}

/// The best setting, if that is another than the present one: each step begins with the best of the one before, and what it comes to is
/// measured once more beside the present one, since the best of many measurements is a lucky one too.
async fn search(bench: &Bench, present: Setting, cores: usize, repeats: u16) -> Result<Option<Setting>, Failure> {
    writeln!(io::stdout(), "{HEAD}")?;
    let mut best = round(bench, present, &instances_and_threads(present, cores), repeats).await?;
    best = round(bench, best, &batch_sizes(best), repeats).await?;
    best = round(bench, best, &delays(best), repeats).await?;
    if best == present {
        return Ok(None);
    }
    writeln!(io::stdout(), "\nonce more, beside what it was:")?;
    let confirmed = round(bench, present, &[best], repeats).await?;
    Ok((confirmed == best).then_some(best))
}

/// Measures `others` beside `present`, in turns, and tells the best.
async fn round(bench: &Bench, present: Setting, others: &[Setting], repeats: u16) -> Result<Setting, Failure> {
    let settings: Vec<_> = [present].iter().chain(others).copied().collect();
    let bar = ProgressBar::new(u64::from(repeats) * settings.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} turn {pos} of {len}, {eta} left")?);
    let mut trials = vec![Vec::new(); settings.len()];
    for _ in 0..repeats {
        for (setting, trials) in settings.iter().zip(&mut trials) {
            trials.push(bench.turn(setting).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let rates: Vec<Vec<f64>> = trials.iter().map(|trials| trials.iter().map(|one| one.rate_per_s).collect()).collect();
    let comparisons: Vec<_> = rates.iter().map(|other| compare(&rates[0], other)).collect();
    for ((setting, trials), comparison) in settings.iter().zip(&trials).zip(&comparisons) {
        let beside = if *setting == present { "present".to_owned() } else { verdict(comparison) };
        writeln!(io::stdout(), "{setting} {} {beside}", middle(trials))?;
    }
    let better = settings.iter().zip(&comparisons).filter(|(_, comparison)| comparison.is_better());
    let best = better.max_by(|(_, a), (_, b)| a.gain.total_cmp(&b.gain));
    Ok(best.map_or(present, |(setting, _)| *setting))
}

fn verdict(comparison: &Comparison) -> String {
    let Comparison { gain, noise } = comparison;
    let word = if comparison.is_better() { "better" } else { "no better" };
    format!("{:+.1}% (noise {:.1}%): {word}", gain * 100.0, noise * 100.0)
}

/// The turn in the middle.
fn middle(trials: &[Trial]) -> String {
    let mut trials = trials.to_vec();
    trials.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    let Trial { rate_per_s, latency_ms } = trials[trials.len() / 2];
    format!("{rate_per_s:10.1} {:9.2} {:9.2} ", latency_ms.p50, latency_ms.p99)
}
