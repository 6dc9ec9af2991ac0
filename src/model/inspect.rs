//! Everything that can be told of a model directory, seen by loading and running it.

use std::path::Path;

use serde::Serialize;

use super::profile::{self, profile_network};
use super::{
    Coverage, GoldenReport, GraphSummary, Instances, LoadOptions, LoadResult, ModelDirectory, NodeCount, Opened,
    Origin, Placement,
};
use crate::backend::Signature;
use crate::batch::BatchPolicy;
use crate::manifest::Manifest;

/// What a model is, and what runs it on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: u32,
    /// Its `model.toml`.
    pub manifest: Manifest,
    /// How many labels it tells apart.
    pub labels: usize,
    /// What the ONNX file holds.
    pub graph: GraphSummary,
    /// What the network takes and gives.
    pub signature: Signature,
    /// The sessions that a server would run here.
    pub instances: Instances,
    /// When a batch leaves.
    pub batching: BatchPolicy,
    /// What runs the Channel Equilibrium blocks.
    pub ce_kernel: String,
    /// Which provider got its nodes.
    pub placement: Placement,
    /// How they run by the network's plan, where there is one.
    pub plan: Option<Coverage>,
    /// Where the plan comes from, or why there is none.
    pub plan_origin: Origin,
    /// What was seen to run, by provider and operator.
    pub executed: Vec<NodeCount>,
    /// How the golden pair was reproduced, where there is one.
    pub golden: Option<GoldenReport>,
}

/// Loads the model directory at `path`, runs it and tells everything about it.
///
/// # Errors
/// As for serving it.
pub fn inspect(path: &Path, options: &LoadOptions) -> LoadResult<Inspection> {
    let directory = ModelDirectory::read(path)?;
    let opened = Opened::open(&directory, options)?;
    let executed = profile_network(&directory, &opened.network, &opened.providers)?;
    Ok(Inspection {
        graph: GraphSummary::read(&directory.model_path())?,
        batching: opened.batching,
        signature: opened.signature,
        instances: opened.instances,
        ce_kernel: ce_kernel(&executed),
        placement: opened.placement,
        plan: opened.network.coverage(),
        plan_origin: opened.network.origin().clone(),
        labels: directory.labels.len(),
        name: directory.name,
        version: directory.version,
        manifest: directory.manifest,
        executed,
        golden: opened.golden,
    })
}

/// The native kernel runs what the session kept as nodes of the operator; else the session has inlined its body.
fn ce_kernel(executed: &[NodeCount]) -> String {
    let own = |count: &&NodeCount| profile::ce_kernel(&count.operator).is_some();
    let kept: usize = executed.iter().filter(own).map(|count| count.nodes).sum();
    match kept {
        0 => "ONNX Runtime, from the operator's function body".into(),
        nodes => format!("the native kernel ({}), {nodes} nodes", ce_op::InstructionSet::best().name()),
    }
}
