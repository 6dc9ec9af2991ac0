//! `cenet-serve predict`: the way of a request without a server.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressIterator};
use serde::Serialize;

use super::Failure;
use crate::answer::{Answer, Found};
use crate::config::{KernelOptions, LimitOptions, ProviderArguments};
use crate::error::InferError;
use crate::infer::Engine;
use crate::manifest::Task;
use crate::model::{InstanceOptions, LoadOptions, Model, Repository, locate};
use crate::request::{InferOptions, InferRequest, Terms};
use crate::vision::draw::PictureFormat;

#[derive(Debug, clap::Args)]
pub(super) struct PredictOptions {
    /// A model's folder, or its name in the model repository
    model: PathBuf,

    /// Pictures to look at
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,

    /// Print JSON, an array with one element a picture
    #[arg(long)]
    json: bool,

    /// Show at most so many labels [default: 5]
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,

    /// Show only labels or boxes whose score is at least this
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,

    /// Of two boxes of one class that overlap by more than this, show the better
    #[arg(long, value_name = "SHARE")]
    iou: Option<f32>,

    /// Show at most so many boxes
    #[arg(long, value_name = "N")]
    max_detections: Option<usize>,

    /// Show only boxes with these labels
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    classes: Option<Vec<String>>,

    /// Save the picture with its boxes drawn, as PNG or, by the file's name, JPEG; for one picture
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    model_repository: PathBuf,

    #[command(flatten)]
    providers: ProviderArguments,

    #[command(flatten)]
    kernels: KernelOptions,

    #[command(flatten)]
    limits: LimitOptions,
}

/// One picture's outcome.
#[derive(Serialize)]
struct Outcome {
    image: String,
    #[serde(flatten)]
    result: Verdict,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Verdict {
    Answer(Answer),
    Failed { code: &'static str, error: String },
}

impl PredictOptions {
    fn wanted(&self) -> InferOptions {
        InferOptions {
            top_k: self.top_k,
            threshold: self.threshold,
            iou: self.iou,
            max_detections: self.max_detections,
            classes: self.classes.clone(),
            render: self.save.as_deref().map(format_by_name),
        }
    }
}

fn format_by_name(file: &Path) -> PictureFormat {
    let extension = file.extension().map(OsStr::to_ascii_lowercase).unwrap_or_default();
    if extension == "jpg" || extension == "jpeg" { PictureFormat::Jpeg } else { PictureFormat::Png }
}

/// Fails with 1 when a picture can't be answered; the others are answered all the same.
pub(super) fn run(options: &PredictOptions) -> Result<ExitCode, Failure> {
    if options.save.is_some() && options.images.len() > 1 {
        return Err("--save is for one picture at a time".into());
    }
    // one picture after the other: all cores for each
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    options.kernels.apply();
    let load = LoadOptions {
        instances: InstanceOptions { count: 1, threads },
        providers: options.providers.options(),
        plan: options.kernels.plan_options(),
        ..LoadOptions::default()
    };
    let model = Model::load(&locate(&options.model, &options.model_repository)?, &load)?;
    let task = model.directory.manifest.task;
    let engine = Engine::new(Repository::of(model), &options.limits)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let look = |path: &PathBuf| Outcome {
        image: path.display().to_string(),
        result: runtime.block_on(predict(&engine, task, path, options)).unwrap_or_else(|failure| failure),
    };
    let outcomes: Vec<Outcome> =
        options.images.iter().progress_with(progress(options.images.len())).map(look).collect();
    let mut output = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut output, &outcomes)?;
        writeln!(output)?;
    } else {
        outcomes.iter().try_for_each(|outcome| print_table(&mut output, outcome))?;
    }
    let failed = outcomes.iter().any(|outcome| matches!(outcome.result, Verdict::Failed { .. }));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A bar where somebody watches and there is something to wait for.
fn progress(pictures: usize) -> ProgressBar {
    if pictures > 1 && io::stderr().is_terminal() { ProgressBar::new(pictures as u64) } else { ProgressBar::hidden() }
}

async fn predict(engine: &Engine, task: Task, path: &Path, options: &PredictOptions) -> Result<Verdict, Verdict> {
    let bytes = std::fs::read(path).map_err(|error| Verdict::file("unreadable_file", &error))?;
    let request = InferRequest {
        task,
        model: None,
        version: None,
        images: vec![Bytes::from(bytes)],
        options: options.wanted(),
        terms: Terms::at_leisure(),
    };
    let mut response = engine.infer(request).await?;
    let result = response.results.remove(0)?;
    if let (Some(file), Some(rendered)) = (&options.save, &result.rendered) {
        std::fs::write(file, rendered).map_err(|error| Verdict::file("unwritable_file", &error))?;
    }
    Ok(Verdict::Answer(Answer::new(&response.model, result)))
}

impl Verdict {
    fn file(code: &'static str, error: &io::Error) -> Self {
        Self::Failed { code, error: error.to_string() }
    }
}

impl From<InferError> for Verdict {
    fn from(error: InferError) -> Self {
        Self::Failed { code: error.kind.code(), error: error.message }
    }
}

fn print_table(output: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    writeln!(output, "{}", outcome.image)?;
    match &outcome.result {
        Verdict::Failed { code, error } => writeln!(output, "  {code}: {error}"),
        Verdict::Answer(answer) => match &answer.finding {
            Found::Labels { predictions } => predictions
                .iter()
                .try_for_each(|prediction| writeln!(output, "  {:6.4}  {}", prediction.score, prediction.label)),
            Found::Boxes { detections, .. } => detections.iter().try_for_each(|detection| {
                let [left, top, right, bottom] = detection.bounds;
                let place = format!("{left:7.1} {top:7.1} {right:7.1} {bottom:7.1}");
                writeln!(output, "  {:6.4}  {place}  {}", detection.score, detection.label)
            }),
        },
    }
}
