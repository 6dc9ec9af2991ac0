//! Models: loaded from their directories, verified, run. The only room that knows ONNX Runtime.

mod directory;
mod golden;
mod graph;
mod inspect;
mod load_error;
mod locate;
mod profile;
mod repository;
mod runtime;
mod session;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::ArrayD;

pub use directory::ModelDirectory;
pub use golden::GoldenReport;
pub use graph::{CeBlock, GraphSummary};
pub use inspect::{Inspection, inspect};
pub use load_error::{LoadError, LoadResult};
pub use locate::locate;
pub use profile::{NodeCount, profile};
pub use repository::{LoadFailures, Repository};
pub use session::{OnnxSession, SessionOptions};

use crate::backend::{Backend, Signature};
use crate::batch::Batcher;

/// How models are loaded, as far as the manifest doesn't say.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Threads that one inference uses; 0 means one a core.
    pub threads: usize,
    /// Pictures that may wait for one model.
    pub queue_length: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: 0, queue_length: 64 }
    }
}

/// A model that is served: its directory, what it was seen to do at load, and the way to its network.
#[derive(Debug)]
pub struct Model {
    /// What the directory declares.
    pub directory: ModelDirectory,
    /// What the network takes and gives.
    pub signature: Signature,
    /// Positions of the head's outputs among the network's, in the order of `Head::outputs`.
    pub head_outputs: Vec<usize>,
    /// How the golden pair was reproduced, where there is one.
    pub golden: Option<GoldenReport>,
    /// How long the load took, the golden pair included.
    pub load_time: Duration,
    /// The way to the network.
    pub batcher: Batcher,
}

impl Model {
    /// Loads the model directory at `path`, `<name>/<version>`: manifest, session, golden pair (or, without one, a run on
    /// zeros, so that the first request meets a warm session).
    ///
    /// # Errors
    /// Whatever is wrong with the directory, as [`LoadError`].
    pub fn load(path: &Path, options: &LoadOptions) -> LoadResult<Self> {
        let started = Instant::now();
        let directory = ModelDirectory::read(path)?;
        let mut session = directory.open_session(options.threads)?;
        let signature = session.signature().clone();
        let head_outputs = directory.check_signature(&signature)?;
        let golden = directory.check_golden(&mut session)?;
        if golden.is_none() {
            warm_up(&directory, &mut session)?;
        }
        let batcher = Batcher::start(&directory.name, Box::new(session), directory.batching(), options.queue_length)
            .map_err(|error| LoadError::Runtime(format!("no thread for the model: {error}")))?;
        Ok(Self { directory, signature, head_outputs, golden, load_time: started.elapsed(), batcher })
    }
}

fn warm_up(directory: &ModelDirectory, session: &mut OnnxSession) -> LoadResult<()> {
    let zeros = ArrayD::zeros(directory.batch_shape(1).as_slice());
    let path = directory.model_path();
    session.infer(zeros).map(drop).map_err(|error| LoadError::Session { path, message: error.message })
}

/// The folder of the version and name that make up a model directory's path.
fn name_and_version(path: &Path) -> Option<(String, u32)> {
    let path: PathBuf = path.components().collect();
    let version = path.file_name()?.to_str()?.parse().ok().filter(|version| *version > 0)?;
    Some((path.parent()?.file_name()?.to_str()?.to_owned(), version))
}
