//! One ONNX Runtime session; on the CPU with the native Channel Equilibrium kernel registered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::ArrayD;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, Tensor, TensorElementType, ValueRef, ValueType};

use super::plan::Split;
use super::providers::Failure;
use super::{LoadError, LoadResult, Placement, Providers, runtime};
use crate::backend::{Backend, Signature, TensorInfo};
use crate::error::{ErrorKind, InferError, Result};

/// How a session is made.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Threads that one inference uses; 0 means one a core.
    pub threads: usize,
    /// Leaves the native kernel out, so that ONNX Runtime inlines the operator's function body. For comparison only.
    pub without_native_kernel: bool,
    /// Where to write a profile of every run; ended by [`OnnxSession::end_profile`].
    pub profile: Option<PathBuf>,
    /// What is to run the network.
    pub providers: Providers,
    /// Where to write the graph as the runtime has optimised it.
    pub optimised: Option<PathBuf>,
}

/// A network loaded by ONNX Runtime.
#[derive(Debug)]
pub struct OnnxSession {
    session: Session,
    signature: Signature,
    providers: Providers,
    placement: Placement,
}

impl OnnxSession {
    /// Loads the ONNX file at `path`.
    ///
    /// # Errors
    /// [`LoadError::Runtime`] without a usable ONNX Runtime, [`LoadError::Session`] when it refuses the network,
    /// [`LoadError::Provider`] when none of the providers can run it that may.
    pub fn load(path: &Path, options: &SessionOptions) -> LoadResult<Self> {
        Self::create(path, options, |mut builder| builder.commit_from_file(path))
    }

    /// Loads the file at `path` in the shape that a plan has given it: `network`, which is run as it is.
    ///
    /// # Errors
    /// As [`OnnxSession::load`].
    pub(super) fn load_planned(path: &Path, network: &Split, options: &SessionOptions) -> LoadResult<Self> {
        Self::create(path, options, |builder| {
            let mut builder = builder.with_optimization_level(GraphOptimizationLevel::Disable)?;
            for weight in network.weights.iter() {
                builder = builder.with_initializer(&weight.name, Arc::clone(&weight.value))?;
            }
            builder.with_operators(ce_op::onnx::blocked_domain(options.threads)?)?.commit_from_memory(&network.graph)
        })
    }

    /// Loads the file at `path` with CE blocks that a plan has rewritten: `network`, which the runtime optimises.
    ///
    /// # Errors
    /// As [`OnnxSession::load`].
    pub(super) fn load_rewritten(path: &Path, network: &[u8], options: &SessionOptions) -> LoadResult<Self> {
        Self::create(path, options, |builder| {
            builder.with_operators(ce_op::onnx::blocked_domain(options.threads)?)?.commit_from_memory(network)
        })
    }

    fn create(
        path: &Path,
        options: &SessionOptions,
        commit: impl Fn(SessionBuilder) -> ort::Result<Session>,
    ) -> LoadResult<Self> {
        let environment = runtime::environment()?;
        let (session, providers) = options.providers.start(path, |providers| {
            let open = |exact_products| {
                let builder = configure(Session::builder(environment)?, options, providers);
                let mut builder =
                    builder.and_then(|builder| Ok(builder.with_config_entry(EXACT_PRODUCTS, exact_products)?))?;
                providers.register(&mut builder)?;
                let _alone = ce_op::onnx::session_creation();
                Ok(commit(builder)?)
            };
            match open(if products_are_exact() { "0" } else { "1" }) {
                Err(Failure::Session(error)) if error.message().contains(SHARED_WEIGHTS) => {
                    let path = path.display();
                    tracing::warn!(%path, "layers share 8-bit weights: their products may saturate on this processor");
                    open("0")
                }
                opened => opened,
            }
        })?;
        let placement = Placement::of(&session, &providers)?;
        let signature = Signature { inputs: describe(session.inputs()), outputs: describe(session.outputs()) };
        Ok(Self { session, signature, providers, placement })
    }

    /// The providers in force, for sessions like this one.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Which of them got the network's nodes.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the network takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Ends a profile that was asked for, and names its file.
    ///
    /// # Errors
    /// [`LoadError::Runtime`] when no profile was asked for.
    pub fn end_profile(&mut self) -> LoadResult<PathBuf> {
        self.session.end_profiling().map(PathBuf::from).map_err(|error| LoadError::Runtime(error.message().to_owned()))
    }
}

/// Whether this processor adds products of 8 bits in 32 (VNNI), or knows no other way.
fn products_are_exact() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Where a processor would add two products of 8 bits in 16 and saturate, the runtime takes unsigned weights instead: slower, but right. With VNNI it
/// takes them too, if it is asked to, and is then two to three times as slow for nothing.
const EXACT_PRODUCTS: &str = "session.x64quantprecision";

/// What ONNX Runtime 1.32 says where it would make weights unsigned that several layers share, which it does once for each.
const SHARED_WEIGHTS: &str = "Attempt to replace the existing tensor";

/// Everything but the providers themselves.
pub(super) fn configure(
    builder: SessionBuilder,
    options: &SessionOptions,
    providers: &Providers,
) -> ort::Result<SessionBuilder> {
    // spinning threads cost a small network dearly when the cores decode pictures too
    let builder = builder.with_intra_op_spinning(false)?.with_intra_threads(options.threads)?;
    let mut builder = ce_op::onnx::record_assignment(builder)?;
    if !options.without_native_kernel
        && let Some(operator) = providers.native_operator()?
    {
        builder = builder.with_operators(operator)?;
    }
    if let Some(optimised) = &options.optimised {
        // it warns that the graph is for this processor alone, as it is meant to be
        builder = builder.with_log_level(LogLevel::Error)?.with_optimized_model_path(optimised)?;
    }
    if let Some(profile) = &options.profile {
        builder = builder.with_profiling(profile)?;
    }
    Ok(builder)
}

impl Backend for OnnxSession {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        run(&mut self.session, input).map_err(|error| {
            InferError::new(ErrorKind::InferenceFailed, format!("the model failed: {}", error.message()))
        })
    }
}

fn run(session: &mut Session, input: ArrayD<f32>) -> ort::Result<Vec<ArrayD<f32>>> {
    let outputs = session.run([SessionInputValue::from(Tensor::from_array(input)?)])?;
    outputs.values().map(|value| to_numbers(&value)).collect()
}

/// Class numbers come as integers, all of them small enough to be exact.
fn to_numbers(value: &ValueRef<'_>) -> ort::Result<ArrayD<f32>> {
    match value.dtype().tensor_type() {
        Some(TensorElementType::Int64) => Ok(value.try_extract_array::<i64>()?.mapv(|number| number as f32)),
        _ => Ok(value.try_extract_array::<f32>()?.into_owned()),
    }
}

fn describe(outlets: &[Outlet]) -> Vec<TensorInfo> {
    outlets.iter().map(describe_outlet).collect()
}

fn describe_outlet(outlet: &Outlet) -> TensorInfo {
    let (data_type, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
        other => (other.to_string(), Vec::new()),
    };
    TensorInfo { name: outlet.name().to_owned(), data_type, shape }
}
