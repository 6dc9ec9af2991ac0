//! What runs a model: the providers of its list, tried in order. One that can't start is told with its reason, and the next is tried; of a
//! strict model it is the reason to refuse it.
//!
//! With a GPU's provider in force the CPU's kernel for Channel Equilibrium isn't registered: it would cut the graph into pieces and copy
//! through the host. ONNX Runtime inlines the operator's body instead, and the provider compiles that; or, where the model asks for it and CUDA
//! alone is in force, CUDA's own kernel takes the nodes.

mod engine_cache;
mod placement;
mod refusal;
mod settings;

use std::path::{Path, PathBuf};

use ort::ep::{ArbitrarilyConfigurableExecutionProvider, CUDA, ExecutionProvider, TensorRT};
use ort::operator::OperatorDomain;
use ort::session::builder::SessionBuilder;
use tracing::subscriber::{self, NoSubscriber};

pub use placement::Placement;
pub use refusal::Refusal;

use self::settings::{Batches, Settings};
use super::{LoadError, LoadResult, ModelDirectory, graph};
use crate::manifest::{Provider, ProviderOrder, TensorrtOptions};

/// What the server says of providers where `model.toml` doesn't.
#[derive(Debug, Clone, Default)]
pub struct ProviderOptions {
    /// What is tried, in order.
    pub order: ProviderOrder,
    /// Whether one that can't start is a reason not to serve the model.
    pub strict: bool,
    /// The folder in which TensorRT keeps what it compiled; nothing is kept without it.
    pub engine_cache: Option<PathBuf>,
}

/// The providers of one model; by default the CPU alone.
#[derive(Debug, Clone)]
pub struct Providers {
    /// Those of the GPU that are tried, or, for a session that is open, those in force.
    gpu: Vec<(Provider, Settings)>,
    /// Whether the CPU may run the network where none of those can start.
    cpu: bool,
    strict: bool,
    /// Whether CUDA is to run CE blocks by the native kernel.
    cuda_ce_kernel: bool,
    /// Those that couldn't start.
    refused: Vec<Refusal>,
}

impl Default for Providers {
    fn default() -> Self {
        Self { gpu: Vec::new(), cpu: true, strict: false, cuda_ce_kernel: false, refused: Vec::new() }
    }
}

/// Why a session couldn't be opened.
pub(super) enum Failure {
    /// The provider at this place can't be had.
    Provider(usize, ort::Error),
    /// Whatever it was.
    Session(ort::Error),
}

impl From<ort::Error> for Failure {
    fn from(error: ort::Error) -> Self {
        Self::Session(error)
    }
}

impl Providers {
    /// The providers that `directory` asks for, or else `defaults`, for batches of up to `largest_batch`.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] when options and batches contradict each other.
    pub fn of(directory: &ModelDirectory, defaults: &ProviderOptions, largest_batch: usize) -> LoadResult<Self> {
        let runtime = &directory.manifest.runtime;
        let order = runtime.providers.as_ref().unwrap_or(&defaults.order).as_slice();
        let mut gpu = Vec::new();
        for provider in order {
            match provider {
                Provider::Tensorrt => gpu.push((*provider, tensorrt(directory, defaults, largest_batch)?)),
                Provider::Cuda => gpu.push((*provider, settings::of_cuda(&runtime.cuda))),
                Provider::Cpu => {}
            }
        }
        let strict = runtime.strict_providers.unwrap_or(defaults.strict);
        let (cpu, cuda_ce_kernel) = (order.contains(&Provider::Cpu), runtime.cuda.ce_kernel);
        Ok(Self { gpu, cpu, strict, cuda_ce_kernel, refused: Vec::new() })
    }

    /// Whether a GPU is to run the network, or runs it.
    pub fn on_gpu(&self) -> bool {
        !self.gpu.is_empty()
    }

    /// The native kernel for Channel Equilibrium that these providers can use, if any.
    pub(super) fn native_operator(&self) -> ort::Result<Option<OperatorDomain>> {
        match self.gpu.as_slice() {
            [] => ce_op::operator_domain().map(Some),
            // TensorRT would be cut into pieces by it
            [(Provider::Cuda, _)] if self.cuda_ce_kernel => ce_op::onnx::cuda_domain().map(Some),
            _ => Ok(None),
        }
    }

    /// Asks ONNX Runtime for the GPU's providers, in order.
    pub(super) fn register(&self, builder: &mut SessionBuilder) -> Result<(), Failure> {
        let mut register = |(place, (provider, settings)): (usize, &(Provider, Settings))| {
            let registered = match provider {
                Provider::Tensorrt => with(TensorRT::default(), settings).register(builder),
                Provider::Cuda => with(CUDA::default(), settings).register(builder),
                Provider::Cpu => Ok(()),
            };
            registered.map_err(|error| Failure::Provider(place, error))
        };
        // ONNX Runtime logs what it returns as an error, too: that is told once, by `go_on_without`
        subscriber::with_default(NoSubscriber::new(), || self.gpu.iter().enumerate().try_for_each(&mut register))
    }

    /// Opens the network at `path` on the first providers that start, and says which those are. Where `open` fails without naming a
    /// provider, the first in force is the one that goes: a GPU's driver or a network's compilation fails only then.
    ///
    /// # Errors
    /// [`LoadError::Provider`] when a strict model's provider can't start, or none is left; [`LoadError::Session`] when the CPU refuses
    /// the network.
    pub(super) fn start<T>(&self, path: &Path, open: impl Fn(&Self) -> Result<T, Failure>) -> LoadResult<(T, Self)> {
        let mut left = self.clone();
        loop {
            let (place, error) = match open(&left) {
                Ok(opened) => return Ok((opened, left)),
                Err(Failure::Session(error)) if !left.on_gpu() => {
                    let message = error.message().to_owned();
                    return Err(LoadError::Session { path: path.to_path_buf(), message });
                }
                Err(Failure::Session(error)) => (0, error),
                Err(Failure::Provider(place, error)) => (place, error),
            };
            let (provider, _) = left.gpu.remove(place);
            left.go_on_without(Refusal::new(provider, error.message()))?;
        }
    }

    fn go_on_without(&mut self, refusal: Refusal) -> LoadResult<()> {
        let Refusal { provider, reason } = &refusal;
        if self.strict || !(self.on_gpu() || self.cpu) {
            return Err(LoadError::Provider { provider: *provider, reason: reason.clone() });
        }
        let next = self.gpu.first().map_or(Provider::Cpu, |(next, _)| *next);
        tracing::warn!(%provider, %next, reason, "a provider can't start, the next is tried");
        self.refused.push(refusal);
        Ok(())
    }
}

fn tensorrt(directory: &ModelDirectory, defaults: &ProviderOptions, largest_batch: usize) -> LoadResult<Settings> {
    let options = &directory.manifest.runtime.tensorrt;
    let input = &directory.manifest.preprocess.input;
    let network = directory.model_path();
    let largest = if graph::fixed_batch(&network, input) == Some(1) { 1 } else { largest_batch };
    if let Some(optimal) = options.optimal_batch.filter(|optimal| usize::from(*optimal) > largest) {
        let message = format!("runtime.tensorrt.optimal_batch is {optimal}, batches are of {largest} at most");
        return Err(LoadError::Mismatch(message));
    }
    let batches = Batches { input, picture: directory.preprocessor.shape(), largest };
    let mut settings = settings::of_tensorrt(options, &batches);
    if let Some(root) = &defaults.engine_cache {
        settings.extend(cached(root, options, &network, &settings));
    }
    Ok(settings)
}

/// A folder that can't be written costs time at each load, no model.
fn cached(root: &Path, options: &TensorrtOptions, network: &Path, compiled_with: &Settings) -> Settings {
    engine_cache::settings(root, options, network, compiled_with).unwrap_or_else(|error| {
        tracing::warn!(folder = %root.display(), %error, "the engine cache can't be used, TensorRT compiles at each load");
        Settings::new()
    })
}

fn with<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, settings: &Settings) -> P {
    settings.iter().fold(provider, |provider, (key, value)| provider.with_arbitrary_config(key, value))
}

#[cfg(test)]
mod tests;
