//! The plan of a network: how its CE blocks and its convolutions are run on this machine.
//!
//! At load, the graph that ONNX Runtime itself has optimised for this processor is rewritten (`rewrite`), so that CE blocks read and write
//! the runtime's own blocked layout and take the residual `Add` and the `Relu` with them, and
//! convolutions are ours, those of 1x1 pixels before CE blocks part of them (`convolutions`). Of a quantised network the CE blocks are first put
//! between 8-bit tensors (`quantized`), before the runtime optimises it. The rewritten network is compared with the
//! one that isn't, and kept on disk (`cache`). Whatever goes wrong, the network runs as its file has it, and it is said why. A
//! network that has neither has no plan, and pays for none.

mod cache;
mod convolutions;
#[cfg(fuzzing)]
pub mod fuzz;
mod layout;
mod optimised;
mod quantized;
mod rewrite;
mod values;
mod weights;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use prost::Message;
use serde::Serialize;

pub use rewrite::Coverage;
use rewrite::Unknown;
pub(super) use weights::Split;

use super::external::elsewhere;
use super::golden::is_close;
use super::graph::is_worth_a_plan;
use super::onnx::ModelProto;
use super::{LoadError, LoadResult, ModelDirectory, OnnxSession, SessionOptions, runtime};
use crate::backend::{Backend, Signature};

/// Largest difference between the outputs with and without a plan, as a share of the largest value.
const TOLERANCE: f32 = 1e-4;

/// The same for quantised networks: a number that lies between two steps may fall to either side, and what follows with it.
const QUANTIZED_TOLERANCE: f32 = 0.1;

/// Whether networks are planned, and where plans are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether any are.
    pub enabled: bool,
    /// The folder that plans are kept in; none makes them anew at each load.
    pub cache: Option<PathBuf>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { enabled: true, cache: None }
    }
}

/// A rewritten network.
#[derive(Debug, Clone)]
struct Plan {
    coverage: Coverage,
    /// Empty where nothing is rewritten.
    network: Split,
}

/// Where a plan comes from, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", content = "detail", rename_all = "snake_case")]
pub enum Origin {
    /// It was made by an earlier load: the file.
    Kept(PathBuf),
    /// It was made now, and is kept in this file.
    Made(PathBuf),
    /// It was made now, and is kept nowhere: why.
    MadeOnly(String),
    /// There is none: why.
    None(String),
}

/// A network as it is run: by a plan, or as its file has it.
#[derive(Debug, Clone)]
pub struct Network {
    path: PathBuf,
    plan: Option<Plan>,
    origin: Origin,
}

impl Network {
    /// The network of `directory`, planned where it has what a plan is for and `options` and its manifest want it.
    pub fn of(directory: &ModelDirectory, options: &PlanOptions) -> Self {
        if !options.enabled || !directory.manifest.runtime.plan {
            return Self::of_file(directory, "it is turned off");
        }
        // what can't be read is told when the session is opened
        if !is_worth_a_plan(&directory.model_path()).unwrap_or(false) {
            return Self::of_file(directory, "the network has neither CE blocks nor convolutions that a plan is for");
        }
        if !elsewhere(&directory.model_path()).is_ok_and(|tensors| tensors.is_empty()) {
            return Self::of_file(directory, "its weights lie in other files, whose changes would not be seen");
        }
        match find_or_make(directory, options) {
            Ok((plan, origin)) => {
                let plan = Some(plan).filter(|plan| !plan.network.graph.is_empty());
                Self { path: directory.model_path(), plan, origin }
            }
            Err(error) => {
                tracing::warn!(model = directory.name, %error, "the network runs without a plan");
                Self::of_file(directory, &error.to_string())
            }
        }
    }

    /// The network of `directory` as its file has it, and why.
    pub(super) fn of_file(directory: &ModelDirectory, reason: &str) -> Self {
        Self { path: directory.model_path(), plan: None, origin: Origin::None(reason.to_owned()) }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// As [`OnnxSession::load`].
    pub fn open_session(&self, options: &SessionOptions) -> LoadResult<OnnxSession> {
        match &self.plan {
            Some(plan) => OnnxSession::load_planned(&self.path, &plan.network, options),
            None => OnnxSession::load(&self.path, options),
        }
    }

    /// The planned network as an ONNX file, for other programs on this machine; none where nothing is planned.
    ///
    /// # Errors
    /// [`LoadError::Plan`] when the runtime doesn't give its weights.
    pub fn planned_file(&self) -> LoadResult<Option<Vec<u8>>> {
        let whole = self.plan.as_ref().map(|plan| plan.network.whole()).transpose();
        whole.map_err(|error| LoadError::Plan(error.to_string()))
    }

    /// How the CE blocks run, by the plan.
    pub fn coverage(&self) -> Option<Coverage> {
        self.plan.as_ref().map(|plan| plan.coverage)
    }

    /// Where the plan comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

fn find_or_make(directory: &ModelDirectory, options: &PlanOptions) -> LoadResult<(Plan, Origin)> {
    runtime::environment()?;
    let path = directory.model_path();
    let file = match &options.cache {
        Some(folder) => Some(cache::path(folder, &cache::key(&path).map_err(LoadError::read(&path))?)),
        None => None,
    };
    if let Some(file) = &file
        && let Some(plan) = cache::read(file)
    {
        return Ok((plan, Origin::Kept(file.clone())));
    }
    let plan = make(directory)?;
    Ok((plan.clone(), keep(&plan, file)))
}

fn keep(plan: &Plan, file: Option<PathBuf>) -> Origin {
    let Some(file) = file else { return Origin::MadeOnly("no folder is set to keep it in".into()) };
    match cache::write(&file, plan) {
        Ok(()) => Origin::Made(file),
        Err(error) => {
            let reason = format!("{} can't be written: {error}", file.display());
            tracing::info!(reason, "the plan is made anew at each start");
            Origin::MadeOnly(reason)
        }
    }
}

/// Plans the network of `directory`, and makes sure that it says the same. Where the file doesn't tell the shapes of what is added, they are first
/// taken to be the same, as they are in a residual network.
fn make(directory: &ModelDirectory) -> LoadResult<Plan> {
    let path = directory.model_path();
    let model = fs::read(&path).map_err(LoadError::read(&path))?;
    let (mut session, optimised, quantized) = optimise(&path, &model)?;
    let block = layout::block_width()?;
    let mut rewritten = |unknown: Unknown, convolutions: bool| {
        let mut graph = decode(&path, &optimised)?;
        let mut coverage = rewrite::rewrite(&mut graph, block, unknown).and(quantized);
        if convolutions {
            convolutions::rewrite(&mut graph, block, &mut coverage);
        }
        if coverage.blocked + coverage.quantized + coverage.convolutions == 0 {
            return Ok(Plan { coverage, network: Split::default() });
        }
        let network = Split::of(graph).map_err(|error| LoadError::Plan(error.to_string()))?;
        let mut planned = OnnxSession::load_planned(&path, &network, &SessionOptions::default())?;
        let tolerance = if coverage.quantized > 0 { QUANTIZED_TOLERANCE } else { TOLERANCE };
        compare(directory, &mut session, &mut planned, tolerance)?;
        Ok(Plan { coverage, network })
    };
    let attempts = [(Unknown::Same, true), (Unknown::Different, true), (Unknown::Same, false)];
    let planned = attempts.into_iter().find_map(|(unknown, convolutions)| rewritten(unknown, convolutions).ok());
    planned.map_or_else(|| rewritten(Unknown::Different, false), Ok)
}

/// The network as its file has it, its graph as the runtime optimises it, with CE blocks between 8-bit tensors where it has such, and how many
/// these are.
fn optimise(path: &Path, model: &[u8]) -> LoadResult<(OnnxSession, Vec<u8>, Coverage)> {
    let mut quantized = decode(path, model)?;
    let coverage = quantized::rewrite(&mut quantized);
    if coverage.quantized == 0 {
        let (session, graph) = optimised::load(|options| OnnxSession::load(path, options))?;
        return Ok((session, graph, coverage));
    }
    let quantized = quantized.encode_to_vec();
    let (_, graph) = optimised::load(|options| OnnxSession::load_rewritten(path, &quantized, options))?;
    Ok((OnnxSession::load(path, &SessionOptions::default())?, graph, coverage))
}

fn decode(path: &Path, bytes: &[u8]) -> LoadResult<ModelProto> {
    let broken = |error: prost::DecodeError| LoadError::Session { path: path.into(), message: error.to_string() };
    ModelProto::decode(bytes).map_err(broken)
}

/// Runs both on the golden input, or else on numbers of ours.
fn compare(
    directory: &ModelDirectory,
    session: &mut OnnxSession,
    planned: &mut OnnxSession,
    tolerance: f32,
) -> LoadResult<()> {
    let input = known_input(directory, session.signature());
    let run = |session: &mut OnnxSession| session.infer(input.clone()).map_err(|error| LoadError::Plan(error.message));
    let (expected, actual) = (run(session)?, run(planned)?);
    let same = expected.iter().zip(&actual).all(|(expected, actual)| is_close(expected, actual, tolerance));
    if same { Ok(()) } else { Err(LoadError::Plan("the planned network answers otherwise".into())) }
}

fn known_input(directory: &ModelDirectory, signature: &Signature) -> ArrayD<f32> {
    // what is wrong with a golden pair is told when it is checked
    if let Ok(Some(pair)) = directory.golden_pair(signature) {
        return pair.input().clone();
    }
    let mut state = 1_u32;
    ArrayD::from_shape_simple_fn(directory.batch_shape(1).as_slice(), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(file) => write!(formatter, "kept in {}", file.display()),
            Self::Made(file) => write!(formatter, "made now, kept in {}", file.display()),
            Self::MadeOnly(reason) => write!(formatter, "made now; {reason}"),
            Self::None(reason) => write!(formatter, "none: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
