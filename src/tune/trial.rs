//! Runs a model with a setting, and counts what it answers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Setting, written};
use crate::config::LimitOptions;
use crate::infer::Engine;
use crate::load::{Control, Failure, Percentiles, Target, closed_loop};
use crate::manifest::Task;
use crate::model::{LoadOptions, Model, ModelDirectory, Repository};
use crate::request::{InferOptions, InferRequest, Terms};

/// Pictures of the model in flight at most, where the manifest doesn't say: more than there are clients.
const QUEUE_LENGTH: usize = 1024;
/// The part of a turn that goes before it and isn't counted.
const WARM_UP_PART: u32 = 10;

/// A model on the bench, loaded with what `model.toml` would say of the setting that is tried.
#[derive(Debug)]
pub struct Bench {
    /// What the model's own directory declares.
    pub directory: ModelDirectory,
    /// Its `model.toml`.
    pub manifest: String,
    pictures: Vec<Bytes>,
    clients: usize,
    duration: Duration,
}

/// One turn of a setting.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// Pictures each second.
    pub rate_per_s: f64,
    /// Of one picture.
    pub latency_ms: Percentiles,
}

impl Bench {
    /// The model at `path`, to be asked about `pictures` by `clients` at once, for `duration` a turn.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn new(path: &Path, pictures: Vec<Bytes>, clients: usize, duration: Duration) -> Result<Self, String> {
        let directory = ModelDirectory::read(path).map_err(|error| error.to_string())?;
        let manifest = fs::read_to_string(path.join("model.toml"));
        let manifest = manifest.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { directory, manifest, pictures, clients, duration })
    }

    /// The model as the server would load it with `setting` in its `model.toml`.
    fn load(&self, setting: &Setting) -> Result<Model, String> {
        let options = LoadOptions { queue_length: QUEUE_LENGTH, ..LoadOptions::default() };
        let directory = ModelDirectory::with_manifest(&self.directory.path, &written(&self.manifest, setting)?);
        let model = directory.and_then(|directory| Model::of(directory, &options));
        model.map_err(|error| error.to_string())
    }

    /// Loads the model with `setting` and has it asked for a turn.
    ///
    /// # Errors
    /// When it can't be loaded so, or a picture can't be answered.
    pub async fn turn(&self, setting: &Setting) -> Result<Trial, String> {
        let model = self.load(setting)?;
        let task = model.directory.manifest.task;
        let engine = Engine::new(Repository::of(model), &LimitOptions::default()).map_err(|error| error.to_string())?;
        let target = Arc::new(InProcess { engine, task, pictures: self.pictures.clone() });
        let control = Control { warm_up: self.duration / WARM_UP_PART, ..Control::new(self.duration) };
        let summary = closed_loop(&target, self.clients, &control).await.summary();
        if let Some((code, failures)) = summary.failed.iter().next() {
            return Err(format!("{} of {} pictures failed: {code}", failures.count, summary.requests));
        }
        let latency_ms = summary.latency_ms.ok_or("no picture was answered in a turn; give it more --duration")?;
        Ok(Trial { rate_per_s: summary.answered_per_s, latency_ms })
    }
}

/// A server without faces.
struct InProcess {
    engine: Engine,
    task: Task,
    pictures: Vec<Bytes>,
}

impl Target for InProcess {
    type Connection = ();

    async fn connect(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn ask(&self, (): &mut (), number: usize) -> Result<(), Failure> {
        let request = InferRequest {
            task: self.task,
            model: None,
            version: None,
            images: vec![self.pictures[number % self.pictures.len()].clone()],
            options: InferOptions::default(),
            terms: Terms::at_leisure(),
        };
        let answered = self.engine.infer(request).await.and_then(|response| response.results.into_iter().collect());
        answered.map(|_: Vec<_>| ()).map_err(|error| Failure { code: error.to_string(), broken: false })
    }
}
