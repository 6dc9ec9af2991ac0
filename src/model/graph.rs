//! Reads an ONNX file: which Channel Equilibrium blocks a network holds.

use std::collections::HashMap;
use std::path::Path;

use ce_op::onnx::{DOMAIN, NAME};
use prost::Message;
use serde::Serialize;

use super::{LoadError, LoadResult, onnx};

/// One Channel Equilibrium block of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CeBlock {
    /// The node's name in the graph.
    pub name: String,
    /// Channels it takes, `groups * group_width`.
    pub channels: i64,
    /// Groups that are whitened each for itself.
    pub groups: i64,
    /// Channels a group.
    pub group_width: i64,
}

/// What an ONNX file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphSummary {
    /// Program that wrote the file.
    pub producer: String,
    /// Version of the standard operators.
    pub opset: i64,
    /// Nodes of the graph, function bodies not counted.
    pub nodes: usize,
    /// Elements of all stored tensors.
    pub parameters: i64,
    /// The Channel Equilibrium blocks, in the graph's order.
    pub ce_blocks: Vec<CeBlock>,
}

impl GraphSummary {
    /// Reads the ONNX file at `path`.
    ///
    /// # Errors
    /// [`LoadError::Read`] or, when it is no ONNX file, [`LoadError::Session`].
    pub fn read(path: &Path) -> LoadResult<Self> {
        let bytes = std::fs::read(path).map_err(LoadError::read(path))?;
        let broken = |message: String| LoadError::Session { path: path.to_path_buf(), message };
        let model = onnx::ModelProto::decode(bytes.as_slice()).map_err(|error| broken(error.to_string()))?;
        let graph = model.graph.as_ref().ok_or_else(|| broken("the file holds no graph".into()))?;
        Ok(Self {
            producer: format!("{} {}", model.producer_name(), model.producer_version()).trim().to_owned(),
            opset: standard_opset(&model),
            nodes: graph.node.len(),
            parameters: graph.initializer.iter().map(|tensor| tensor.dims.iter().product::<i64>()).sum(),
            ce_blocks: ce_blocks(graph),
        })
    }
}

/// The length of the batch axis of the input called `name`, where the ONNX file at `path` fixes it.
pub(super) fn fixed_batch(path: &Path, name: &str) -> Option<i64> {
    let model = onnx::ModelProto::decode(std::fs::read(path).ok()?.as_slice()).ok()?;
    let input = model.graph?.input.into_iter().find(|input| input.name() == name)?;
    let onnx::type_proto::Value::TensorType(tensor) = input.r#type?.value? else { return None };
    match tensor.shape?.dim.into_iter().next()?.value? {
        onnx::tensor_shape_proto::dimension::Value::DimValue(length) => Some(length),
        onnx::tensor_shape_proto::dimension::Value::DimParam(_) => None,
    }
}

fn standard_opset(model: &onnx::ModelProto) -> i64 {
    let standard = model.opset_import.iter().find(|import| matches!(import.domain(), "" | "ai.onnx"));
    standard.map_or(0, onnx::OperatorSetIdProto::version)
}

fn ce_blocks(graph: &onnx::GraphProto) -> Vec<CeBlock> {
    let dimensions: HashMap<_, _> = graph.initializer.iter().map(|tensor| (tensor.name(), &tensor.dims)).collect();
    graph
        .node
        .iter()
        .filter(|node| node.domain() == DOMAIN && node.op_type() == NAME)
        .map(|node| {
            let whitening = node.input.get(1).and_then(|name| dimensions.get(name.as_str()));
            let (groups, group_width) = match whitening.map(|dims| dims.as_slice()) {
                Some([groups, width, _]) => (*groups, *width),
                _ => (0, 0),
            };
            CeBlock { name: node.name().to_owned(), channels: groups * group_width, groups, group_width }
        })
        .collect()
}
