//! Which kernel of which provider really runs each node: read from ONNX Runtime's own profile of one run.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;

use ce_op::onnx::{BLOCKED_NAME, CONVOLVED_NAME, NAME, QUANTIZED_NAME};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{LoadError, LoadResult, ModelDirectory, Network, OnnxSession, Providers, SessionOptions};
use crate::backend::Backend;

/// How many nodes of one operator a provider ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeCount {
    /// The operator, as ONNX Runtime ran it after its own rewriting.
    pub operator: String,
    /// The execution provider, such as `CPUExecutionProvider`.
    pub provider: String,
    /// How many nodes.
    pub nodes: usize,
}

/// Runs the network of `directory` as its file has it once on zeros, and counts what ran.
///
/// # Errors
/// As [`OnnxSession::load`]; [`LoadError::Runtime`] when the run or its profile fails.
pub fn profile(
    directory: &ModelDirectory,
    providers: &Providers,
    without_native_kernel: bool,
) -> LoadResult<Vec<NodeCount>> {
    let path = directory.model_path();
    let own = |options| SessionOptions { without_native_kernel, providers: providers.clone(), ..options };
    profile_run(directory, |options| OnnxSession::load(&path, &own(options)))
}

/// As [`profile`], of the network as it is served.
pub(super) fn profile_network(
    directory: &ModelDirectory,
    network: &Network,
    providers: &Providers,
) -> LoadResult<Vec<NodeCount>> {
    let own = |options| SessionOptions { providers: providers.clone(), ..options };
    profile_run(directory, |options| network.open_session(&own(options)))
}

fn profile_run(
    directory: &ModelDirectory,
    open: impl FnOnce(SessionOptions) -> LoadResult<OnnxSession>,
) -> LoadResult<Vec<NodeCount>> {
    let profiling = Profiling::begin()?;
    let profile = Some(profiling.path());
    let mut session = open(SessionOptions { profile, threads: 1, ..SessionOptions::default() })?;
    let zeros = ArrayD::zeros(directory.batch_shape(1).as_slice());
    session.infer(zeros).map_err(|error| failed(&error))?;
    profiling.end(&mut session)
}

fn failed(error: &dyn std::fmt::Display) -> LoadError {
    LoadError::Runtime(format!("the profile failed: {error}"))
}

/// The folder that ONNX Runtime writes a profile to: it tells no other way what ran.
pub(super) struct Profiling(TempDir);

/// Where files may be written though nowhere else.
const MEMORY: &str = "/dev/shm";

impl Profiling {
    /// # Errors
    /// [`LoadError::Runtime`] where no file can be written.
    pub(super) fn begin() -> LoadResult<Self> {
        let folder = tempfile::tempdir().or_else(|error| tempfile::tempdir_in(MEMORY).map_err(|_| error));
        folder.map(Self).map_err(|error| failed(&error))
    }

    /// For [`SessionOptions::profile`].
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("profile")
    }

    /// What `session` has run.
    pub(super) fn end(self, session: &mut OnnxSession) -> LoadResult<Vec<NodeCount>> {
        let written = session.end_profile()?;
        let text = fs::read(&written).map_err(LoadError::read(written))?;
        let events: Vec<Event> = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        Ok(count(&events))
    }
}

/// A network's Channel Equilibrium blocks by the kernel that was seen to run them; none where that couldn't be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CeNodes(pub Vec<(&'static str, usize)>);

impl CeNodes {
    /// What `counts` say of a network with so many `blocks`: those that the session hasn't kept as nodes have been inlined.
    pub(super) fn new(counts: &[NodeCount], blocks: usize) -> Self {
        let kept = |kernel: &str| {
            let nodes = counts.iter().filter(|count| ce_kernel(&count.operator) == Some(kernel));
            nodes.map(|count| count.nodes).sum::<usize>()
        };
        let mut nodes: Vec<_> = KERNELS.into_iter().map(|kernel| (kernel, kept(kernel))).collect();
        let natives: usize = nodes.iter().map(|(_, nodes)| nodes).sum();
        nodes.push(("body", blocks.saturating_sub(natives)));
        Self(nodes)
    }
}

/// The native kernels for Channel Equilibrium blocks.
const KERNELS: [&str; 3] = ["blocked", "quantized", "native"];

/// The native kernel that runs nodes of `operator`, if it is one for Channel Equilibrium blocks.
pub(super) fn ce_kernel(operator: &str) -> Option<&'static str> {
    let [blocked, quantized, native] = KERNELS;
    match operator {
        BLOCKED_NAME | CONVOLVED_NAME => Some(blocked),
        QUANTIZED_NAME => Some(quantized),
        NAME => Some(native),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Event {
    cat: String,
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    provider: String,
}

fn count(events: &[Event]) -> Vec<NodeCount> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let runs = events.iter().filter(|event| event.cat == "Node" && event.name.ends_with("_kernel_time"));
    // a node may have run several times
    let mut nodes = HashSet::new();
    for event in runs.filter(|event| nodes.insert(&event.name)) {
        *counts.entry((&event.args.op_name, &event.args.provider)).or_default() += 1;
    }
    let entry = |((operator, provider), nodes): ((&str, &str), usize)| NodeCount {
        operator: operator.to_owned(),
        provider: provider.to_owned(),
        nodes,
    };
    counts.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(operator: &str, nodes: usize) -> NodeCount {
        NodeCount { operator: operator.into(), provider: "CPUExecutionProvider".into(), nodes }
    }

    #[test]
    fn blocks_that_were_not_kept_run_by_their_body() {
        let counts =
            [ran(NAME, 3), ran(BLOCKED_NAME, 4), ran(CONVOLVED_NAME, 2), ran(QUANTIZED_NAME, 1), ran("Conv", 9)];
        let expected = [("blocked", 6), ("quantized", 1), ("native", 3), ("body", 2)];
        assert_eq!(CeNodes::new(&counts, 12).0, expected);
    }
}
