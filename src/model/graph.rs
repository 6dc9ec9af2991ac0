//! Reads an ONNX file: which Channel Equilibrium blocks a network holds.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

use ce_op::onnx::{DOMAIN, NAME};
use prost::Message;
use serde::Serialize;

use super::wire::Wire;
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
        Self::parse(&bytes).map_err(|message| LoadError::Session { path: path.to_path_buf(), message })
    }

    /// The same of the file's bytes.
    ///
    /// # Errors
    /// Why they are no ONNX file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model = onnx::ModelProto::decode(bytes).map_err(|error| error.to_string())?;
        let graph = model.graph.as_ref().ok_or("the file holds no graph")?;
        Ok(Self {
            producer: format!("{} {}", model.producer_name(), model.producer_version()).trim().to_owned(),
            opset: standard_opset(&model),
            nodes: graph.node.len(),
            parameters: graph.initializer.iter().map(elements).fold(0, i64::saturating_add),
            ce_blocks: ce_blocks(graph),
        })
    }
}

/// Fields of `ModelProto` and `GraphProto`.
const GRAPH: u64 = 7;
const NODE: u64 = 1;

/// How many Channel Equilibrium blocks the ONNX file at `path` holds; its tensors aren't read.
///
/// # Errors
/// As [`GraphSummary::read`].
pub(super) fn count_ce_blocks(path: &Path) -> LoadResult<usize> {
    count_nodes(path, is_ce_block)
}

/// Whether the ONNX file at `path` holds nodes that a plan is made for: Channel Equilibrium blocks, or dense convolutions of 1x1 or 3x3 pixels; its tensors aren't read.
///
/// # Errors
/// As [`GraphSummary::read`].
pub(super) fn is_worth_a_plan(path: &Path) -> LoadResult<bool> {
    Ok(count_nodes(path, |node| is_ce_block(node) || is_dense_convolution(node))? > 0)
}

fn count_nodes(path: &Path, counts: impl Fn(&onnx::NodeProto) -> bool) -> LoadResult<usize> {
    let count = Wire::open(path).and_then(|file| count_of(file, counts));
    count.map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            LoadError::Session { path: path.to_path_buf(), message: "no ONNX file".into() }
        }
        _ => LoadError::read(path)(error),
    })
}

pub(super) fn count_of(
    mut file: Wire<impl Read + Seek>,
    counts: impl Fn(&onnx::NodeProto) -> bool,
) -> io::Result<usize> {
    let (mut count, end) = (0, file.end());
    while let Some(field) = file.next(end)? {
        if field.number == GRAPH {
            let end = file.end_of(field);
            count += count_in_graph(&mut file, end, &counts)?;
        } else {
            file.skip(field.length)?;
        }
    }
    Ok(count)
}

fn count_in_graph(
    file: &mut Wire<impl Read + Seek>,
    end: u64,
    counts: &impl Fn(&onnx::NodeProto) -> bool,
) -> io::Result<usize> {
    let mut count = 0;
    while let Some(field) = file.next(end)? {
        if field.number == NODE {
            let node = onnx::NodeProto::decode(file.bytes(field.length)?.as_slice());
            count += usize::from(counts(&node.map_err(|_| ErrorKind::InvalidData)?));
        } else {
            file.skip(field.length)?;
        }
    }
    Ok(count)
}

/// A convolution of a size that a plan is for, which has a filter for each pair of channels.
fn is_dense_convolution(node: &onnx::NodeProto) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
    let strides = attribute("strides").map_or(&[][..], |strides| &strides.ints);
    let is_standard = matches!(node.domain(), "" | "ai.onnx") && node.op_type() == "Conv";
    is_standard
        && attribute("group").is_none_or(|group| group.i() == 1)
        && attribute("kernel_shape").is_some_and(|shape| {
            matches!((&shape.ints[..], strides), ([1, 1] | [3, 3], [] | [1, 1] | [2, 2]) | ([7, 7], [2, 2]))
        })
}

pub(super) fn is_ce_block(node: &onnx::NodeProto) -> bool {
    node.domain() == DOMAIN && node.op_type() == NAME
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

/// What the tensor's dimensions say, however wrong they are.
fn elements(tensor: &onnx::TensorProto) -> i64 {
    tensor.dims.iter().copied().fold(1, i64::saturating_mul)
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
        .filter(|node| is_ce_block(node))
        .map(|node| {
            let whitening = node.input.get(1).and_then(|name| dimensions.get(name.as_str()));
            let (groups, group_width) = match whitening.map(|dims| dims.as_slice()) {
                Some([groups, width, _]) => (*groups, *width),
                _ => (0, 0),
            };
            CeBlock { name: node.name().to_owned(), channels: groups.saturating_mul(group_width), groups, group_width }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_without_reading_the_rest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1/model.onnx");
        let blocks = GraphSummary::read(&path).expect("an ONNX file").ce_blocks.len();
        assert!(blocks > 1);
        assert_eq!(count_ce_blocks(&path).expect("an ONNX file"), blocks);
        let bytes = std::fs::read(&path).expect("readable");
        let folder = tempfile::tempdir().expect("a folder");
        let cut = folder.path().join("cut.onnx");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
        assert!(matches!(count_ce_blocks(&cut), Err(LoadError::Session { .. })));
        assert!(matches!(count_ce_blocks(&folder.path().join("absent")), Err(LoadError::Read { .. })));
    }

    #[test]
    fn dimensions_that_no_tensor_can_have_are_told_as_the_most_there_is() {
        let whitening = onnx::TensorProto {
            name: Some("whitening".into()),
            dims: vec![i64::MAX, 16, 16],
            ..onnx::TensorProto::default()
        };
        let block = onnx::NodeProto {
            input: vec!["x".into(), "whitening".into()],
            op_type: Some(NAME.into()),
            domain: Some(DOMAIN.into()),
            ..onnx::NodeProto::default()
        };
        let graph = onnx::GraphProto {
            initializer: vec![whitening.clone(), whitening],
            node: vec![block],
            ..onnx::GraphProto::default()
        };
        let model = onnx::ModelProto { graph: Some(graph), ..onnx::ModelProto::default() };
        let summary = GraphSummary::parse(&model.encode_to_vec()).expect("an ONNX file");
        assert_eq!((summary.parameters, summary.ce_blocks[0].channels), (i64::MAX, i64::MAX));
    }
}
