//! What a graph says of its values: who reads them, what shape they have, which are constant.

use std::collections::{HashMap, HashSet};

use crate::model::onnx::tensor_shape_proto::dimension;
use crate::model::onnx::{AttributeProto, GraphProto, NodeProto, ValueInfoProto, type_proto};

/// The values of a graph, by name.
pub(super) struct Values {
    readers: HashMap<String, usize>,
    constants: HashMap<String, Vec<i64>>,
    shapes: HashMap<String, Vec<dimension::Value>>,
}

impl Values {
    pub(super) fn of(graph: &GraphProto) -> Self {
        let constants = graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.dims.clone()));
        let described = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
        let shapes = described.filter_map(|value| Some((value.name().to_owned(), known_shape(value)?)));
        Self { readers: readers(graph, &graph.node), constants: constants.collect(), shapes: shapes.collect() }
    }

    /// How often a value is read, by nodes, graphs within nodes and as the graph's output.
    pub(super) fn readers(&self, name: &str) -> usize {
        self.readers.get(name).copied().unwrap_or(0)
    }

    /// The lengths of a constant.
    pub(super) fn constant(&self, name: &str) -> Option<&[i64]> {
        self.constants.get(name).map(Vec::as_slice)
    }

    /// Whether two values have one shape, so that adding them repeats nothing; none where it isn't known.
    pub(super) fn have_one_shape(&self, a: &str, b: &str) -> Option<bool> {
        Some(self.shapes.get(a)? == self.shapes.get(b)?)
    }
}

/// How often each value is read by `nodes` and as an output of `graph`.
pub(super) fn readers(graph: &GraphProto, nodes: &[NodeProto]) -> HashMap<String, usize> {
    let mut readers = HashMap::new();
    let outputs = graph.output.iter().map(|output| output.name().to_owned());
    nodes.iter().flat_map(inputs_and_captured).chain(outputs).for_each(|name| *readers.entry(name).or_default() += 1);
    readers
}

/// What a node reads, and what the graphs within it read.
pub(super) fn inputs_and_captured(node: &NodeProto) -> Vec<String> {
    let mut names = node.input.clone();
    names.extend(captured(node));
    names
}

/// What the graphs within a node read; of what they name, some is their own.
pub(super) fn captured(node: &NodeProto) -> HashSet<String> {
    let graphs =
        node.attribute.iter().flat_map(|attribute: &AttributeProto| attribute.g.iter().chain(&attribute.graphs));
    graphs
        .flat_map(|graph| {
            let outputs = graph.output.iter().map(|output| output.name().to_owned());
            graph.node.iter().flat_map(inputs_and_captured).chain(outputs).collect::<Vec<_>>()
        })
        .collect()
}

/// A tensor's dimensions, where each has a length or a name.
fn known_shape(value: &ValueInfoProto) -> Option<Vec<dimension::Value>> {
    let Some(type_proto::Value::TensorType(tensor)) = &value.r#type.as_ref()?.value else { return None };
    tensor.shape.as_ref()?.dim.iter().map(|dimension| dimension.value.clone()).collect()
}
