//! Models: loaded from their directories, verified, run. The only room that knows ONNX Runtime.

mod batching;
mod canary;
mod catalog;
mod directory;
mod external;
mod files;
mod folder;
mod golden;
mod graph;
mod health;
mod inspect;
mod instances;
mod load_error;
mod locate;
mod onnx;
mod plan;
mod profile;
mod providers;
mod repository;
mod runtime;
mod session;
mod statistics;
mod watch;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use ndarray::ArrayD;

pub use batching::BatchOptions;
pub use canary::Canary;
pub use catalog::{Catalog, Entry, parse_version};
pub use directory::ModelDirectory;
pub use folder::Fingerprint;
pub use golden::{GoldenPair, GoldenReport};
pub use graph::{CeBlock, GraphSummary};
pub use health::Health;
pub use inspect::{Inspection, inspect};
pub use instances::{InstanceOptions, Instances};
pub use load_error::{LoadError, LoadResult};
pub use locate::locate;
#[cfg(fuzzing)]
pub use plan::fuzz;
pub use plan::{Coverage, Network, Origin, PlanOptions};
use profile::Profiling;
pub use profile::{CeNodes, NodeCount, profile};
pub use providers::{Placement, ProviderOptions, Providers, Refusal};
pub use repository::{Repository, RepositoryOptions};
pub use session::{OnnxSession, SessionOptions};
pub use statistics::{Count, Statistics, StatisticsSnapshot};
pub use watch::watch;

use crate::admission::Admission;
use crate::backend::{Backend, Signature};
use crate::batch::{BatchPolicy, Batcher};
use crate::manifest::Provider;
use crate::metrics::ModelMetrics;

/// How models are loaded, as far as their manifests don't say.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Sessions of a model, and their threads.
    pub instances: InstanceOptions,
    /// When a batch leaves.
    pub batching: BatchOptions,
    /// Pictures of one model in flight at most.
    pub queue_length: usize,
    /// What runs the networks.
    pub providers: ProviderOptions,
    /// How CE blocks are run.
    pub plan: PlanOptions,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            instances: InstanceOptions::default(),
            batching: BatchOptions::default(),
            queue_length: 64,
            providers: ProviderOptions::default(),
            plan: PlanOptions::default(),
        }
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
    /// Its sessions.
    pub instances: Instances,
    /// What runs them.
    pub placement: Placement,
    /// When a batch leaves.
    pub batching: BatchPolicy,
    /// Who may come in: decided before a picture is decoded.
    pub admission: Arc<Admission>,
    /// What it is asked now and then, to see that it still answers right.
    pub canary: Canary,
    /// Whether it does.
    pub health: Health,
    /// What it has done.
    pub statistics: Statistics,
    /// The same for `/metrics`; a version that is loaded anew counts on.
    pub metrics: Arc<ModelMetrics>,
    /// What was seen to run its Channel Equilibrium blocks at load.
    pub ce_nodes: CeNodes,
    /// The way to the network.
    pub batcher: Batcher,
}

impl Model {
    /// Loads the model directory at `path`, `<name>/<version>`: manifest, sessions, golden pair (or, without one, a run on
    /// zeros, so that the first request meets a warm session).
    ///
    /// # Errors
    /// Whatever is wrong with the directory, as [`LoadError`].
    pub fn load(path: &Path, options: &LoadOptions) -> LoadResult<Self> {
        Self::of(ModelDirectory::read(path)?, options)
    }

    /// The same for a directory that has been read.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn of(directory: ModelDirectory, options: &LoadOptions) -> LoadResult<Self> {
        let started = Instant::now();
        let opened = Opened::open(&directory, options)?;
        let sessions = opened.sessions.into_iter().map(|session| Box::new(session) as Box<dyn Backend>).collect();
        let batcher = Batcher::start(&directory.name, sessions, directory.batch_axis(), opened.batching)
            .map_err(|error| LoadError::Runtime(format!("no thread for the model: {error}")))?;
        let queue_length = directory.manifest.batching.queue_length.map_or(options.queue_length, usize::from);
        let admission = Arc::new(Admission::in_model(&directory.name, queue_length));
        Ok(Self {
            directory,
            signature: opened.signature,
            head_outputs: opened.head_outputs,
            golden: opened.golden,
            load_time: started.elapsed(),
            instances: opened.instances,
            placement: opened.placement,
            batching: opened.batching,
            admission,
            canary: opened.canary,
            health: Health::default(),
            statistics: Statistics::default(),
            metrics: Arc::default(),
            ce_nodes: opened.ce_nodes,
            batcher,
        })
    }

    /// The GPU that runs the network, where one does.
    pub fn gpu(&self) -> Option<u16> {
        let runtime = &self.directory.manifest.runtime;
        (self.placement.provider != Provider::Cpu).then_some(runtime.cuda.device_id)
    }
}

/// A directory's sessions, each warm and checked.
struct Opened {
    sessions: Vec<OnnxSession>,
    signature: Signature,
    head_outputs: Vec<usize>,
    golden: Option<GoldenReport>,
    canary: Canary,
    instances: Instances,
    batching: BatchPolicy,
    /// The providers in force.
    providers: Providers,
    placement: Placement,
    network: Network,
    ce_nodes: CeNodes,
}

impl Opened {
    /// Opens one session, times it, decides how many there should be, and opens those.
    fn open(directory: &ModelDirectory, options: &LoadOptions) -> LoadResult<Self> {
        let batching = BatchOptions::of(directory, options.batching);
        let declared = &directory.manifest.runtime;
        let declared = InstanceOptions { count: declared.instances.into(), threads: declared.threads.into() };
        let wanted = declared.or(options.instances);
        let trial_threads = wanted.trial_threads();
        let profiling = seen(Profiling::begin());
        let profile = profiling.as_ref().map(Profiling::path);
        let first = SessionOptions { threads: trial_threads, profile, ..SessionOptions::default() };
        let (network, mut trial) = start(directory, options, batching.largest(), first)?;
        let (providers, placement) = (trial.providers().clone(), trial.placement().clone());
        let signature = trial.signature().clone();
        let head_outputs = directory.check_signature(&signature)?;
        let pair = directory.golden_pair(&signature)?;
        let golden = warm_up(directory, &mut trial, pair.as_ref())?;
        let ce_nodes = profiling.and_then(|profiling| seen(ce_nodes(directory, &mut trial, profiling)));
        let again = Instant::now();
        warm_up(directory, &mut trial, pair.as_ref())?;
        let cores = available_parallelism().map_or(1, usize::from);
        let picture = again.elapsed();
        let on_gpu = providers.on_gpu();
        let instances = if on_gpu { wanted.on_gpu() } else { wanted.choose(picture, cores) };
        let batching = batching.choose(&signature, directory.batch_axis(), picture, &instances, on_gpu);
        let mut sessions = if instances.threads == trial_threads { vec![trial] } else { Vec::new() };
        while sessions.len() < instances.count {
            let threads = instances.threads;
            let mut session = network.open_session(&SessionOptions {
                threads,
                providers: providers.clone(),
                ..SessionOptions::default()
            })?;
            warm_up(directory, &mut session, pair.as_ref())?;
            sessions.push(session);
        }
        let canary = match &pair {
            Some(pair) => Canary::of_pair(pair, directory.batch_axis()),
            None => Canary::of_zeros(&directory.preprocessor.shape()),
        };
        let ce_nodes = ce_nodes.unwrap_or_default();
        Ok(Self {
            sessions,
            signature,
            head_outputs,
            golden,
            canary,
            instances,
            batching,
            providers,
            placement,
            network,
            ce_nodes,
        })
    }
}

/// Opens the network on the first of its providers that starts: as its file has it on a GPU, by its plan on the CPU.
fn start(
    directory: &ModelDirectory,
    options: &LoadOptions,
    largest_batch: usize,
    session: SessionOptions,
) -> LoadResult<(Network, OnnxSession)> {
    let mut session =
        SessionOptions { providers: Providers::of(directory, &options.providers, largest_batch)?, ..session };
    if session.providers.on_gpu() {
        let network = Network::of_file(directory, "a GPU runs the network");
        let opened = network.open_session(&session)?;
        if opened.providers().on_gpu() {
            return Ok((network, opened));
        }
        session.providers = opened.providers().clone();
    }
    let network = Network::of(directory, &options.plan);
    let opened = network.open_session(&session)?;
    Ok((network, opened))
}

/// What can't be seen of a model doesn't keep it from being served.
fn seen<T>(outcome: LoadResult<T>) -> Option<T> {
    outcome.inspect_err(|error| tracing::warn!(%error, "what runs the model's blocks can't be seen")).ok()
}

/// What has run the Channel Equilibrium blocks of `session` so far.
fn ce_nodes(directory: &ModelDirectory, session: &mut OnnxSession, profiling: Profiling) -> LoadResult<CeNodes> {
    let blocks = graph::count_ce_blocks(&directory.model_path())?;
    Ok(CeNodes::new(&profiling.end(session)?, blocks))
}

/// Runs `session` once: on the golden pair, or else on zeros.
fn warm_up(
    directory: &ModelDirectory,
    session: &mut OnnxSession,
    pair: Option<&GoldenPair>,
) -> LoadResult<Option<GoldenReport>> {
    if let Some(pair) = pair {
        return pair.check(session).map(Some);
    }
    let zeros = ArrayD::zeros(directory.batch_shape(1).as_slice());
    let path = directory.model_path();
    session.infer(zeros).map_err(|error| LoadError::Session { path, message: error.message })?;
    Ok(None)
}

impl Drop for Model {
    fn drop(&mut self) {
        tracing::info!(model = self.directory.name, version = self.directory.version, "model is unloaded");
    }
}
