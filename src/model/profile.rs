//! Which kernel of which provider really runs each node: read from ONNX Runtime's own profile of one run.

use std::collections::BTreeMap;
use std::fs;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

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
    let failed = |error: &dyn std::fmt::Display| LoadError::Runtime(format!("the profile failed: {error}"));
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let profile = Some(folder.path().join("profile"));
    let mut session = open(SessionOptions { profile, threads: 1, ..SessionOptions::default() })?;
    let zeros = ArrayD::zeros(directory.batch_shape(1).as_slice());
    session.infer(zeros).map_err(|error| failed(&error))?;
    let written = session.end_profile()?;
    let text = fs::read(&written).map_err(LoadError::read(written))?;
    let events: Vec<Event> = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    Ok(count(&events))
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
    for event in runs {
        *counts.entry((&event.args.op_name, &event.args.provider)).or_default() += 1;
    }
    let entry = |((operator, provider), nodes): ((&str, &str), usize)| NodeCount {
        operator: operator.to_owned(),
        provider: provider.to_owned(),
        nodes,
    };
    counts.into_iter().map(entry).collect()
}
