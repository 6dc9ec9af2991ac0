//! The rewriting of a quantised network, as its file has it, so that CE blocks work on 8-bit tensors with the channels last.
//!
//! `DequantizeLinear -> ChannelEquilibrium [-> Add with another DequantizeLinear] [-> Relu] -> QuantizeLinear` becomes one node, with a
//! `Transpose` to channels last before it and one back behind it. The runtime, which optimises the graph after that, does the same to the
//! convolutions around, and takes out the pairs that meet. A node that doesn't fit stays as it is.

use std::collections::{HashMap, HashSet};

use ce_op::onnx::{BLOCKED_DOMAIN, DOMAIN, NAME, QUANTIZED_NAME, RELU_ATTRIBUTE};

use super::rewrite::{Coverage, OPERATOR_INPUTS, import_own_domain, integer_attribute, is};
use super::values::readers;
use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

const TO_CHANNELS_LAST: [i64; 4] = [0, 2, 3, 1];
const TO_CHANNELS_FIRST: [i64; 4] = [0, 3, 1, 2];

/// Rewrites `model`, and counts the CE nodes that now work on 8-bit tensors.
pub(super) fn rewrite(model: &mut ModelProto) -> Coverage {
    let Some(graph) = &mut model.graph else { return Coverage::default() };
    let chains = Links::of(graph).chains();
    let mut coverage = Coverage { quantized: chains.len(), ..Coverage::default() };
    coverage.with_add = chains.iter().filter(|chain| chain.residual.is_some()).count();
    coverage.with_relu = chains.iter().filter(|chain| chain.relu).count();
    if !chains.is_empty() {
        replace(graph, &chains);
        import_own_domain(model);
    }
    coverage
}

/// A tensor of 8 bits, and how its numbers stand for real ones.
#[derive(Clone)]
struct Quantized {
    value: String,
    scale: f32,
    zero_point: u8,
}

/// Nodes that become one.
struct Chain {
    /// The CE node and what follows it, by their places in the graph; the `QuantizeLinear` is the last.
    nodes: Vec<usize>,
    x: Quantized,
    residual: Option<Quantized>,
    y: Quantized,
    relu: bool,
}

/// Who gives and who reads a graph's values.
struct Links<'g> {
    nodes: &'g [NodeProto],
    givers: HashMap<&'g str, usize>,
    /// The last node that reads a value.
    reader: HashMap<&'g str, usize>,
    readers: HashMap<String, usize>,
    constants: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> Links<'g> {
    fn of(graph: &'g GraphProto) -> Self {
        let places = || graph.node.iter().enumerate();
        let givers = places().flat_map(|(place, node)| node.output.iter().map(move |name| (name.as_str(), place)));
        let reader = places().flat_map(|(place, node)| node.input.iter().map(move |name| (name.as_str(), place)));
        Self {
            nodes: &graph.node,
            givers: givers.collect(),
            reader: reader.collect(),
            readers: readers(graph, &graph.node),
            constants: graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect(),
        }
    }

    fn chains(&self) -> Vec<Chain> {
        (0..self.nodes.len()).filter_map(|place| self.chain(place)).collect()
    }

    /// The chain that begins at `place`, if one does.
    fn chain(&self, place: usize) -> Option<Chain> {
        let block = &self.nodes[place];
        let fits = is(block, DOMAIN, NAME) && block.input.len() == OPERATOR_INPUTS;
        if !fits || !block.input[1..].iter().all(|name| self.constants.contains_key(name.as_str())) {
            return None;
        }
        let x = self.dequantized(&block.input[0])?;
        let (mut nodes, mut residual, mut relu) = (vec![place], None, false);
        loop {
            let result = self.nodes[*nodes.last()?].output.first()?;
            let next = self.only_reader(result)?;
            let node = &self.nodes[next];
            nodes.push(next);
            if is(node, "", "QuantizeLinear") && node.input[0] == *result {
                let y = self.linear(node, node.output.first()?)?;
                return Some(Chain { nodes, x, residual, y, relu });
            } else if is(node, "", "Relu") && !relu {
                relu = true;
            } else if is(node, "", "Add") && !relu && residual.is_none() {
                let other = node.input.iter().find(|name| *name != result)?;
                residual = Some(self.dequantized(other)?);
            } else {
                return None;
            }
        }
    }

    /// The node that reads a value, if it is the only one, and reads it once.
    fn only_reader(&self, name: &str) -> Option<usize> {
        if self.readers.get(name) == Some(&1) { self.reader.get(name).copied() } else { None }
    }

    /// The 8-bit tensor that stands for a value.
    fn dequantized(&self, name: &str) -> Option<Quantized> {
        let node = &self.nodes[*self.givers.get(name)?];
        if is(node, "", "DequantizeLinear") { self.linear(node, node.input.first()?) } else { None }
    }

    /// The 8-bit tensor `value` of a `QuantizeLinear` or `DequantizeLinear`, if it has one scale and one zero point.
    fn linear(&self, node: &NodeProto, value: &str) -> Option<Quantized> {
        let [_, scale, zero_point] = node.input.as_slice() else { return None };
        let scale = real_constant(self.constants.get(scale.as_str())?)?;
        let zero_point = byte_constant(self.constants.get(zero_point.as_str())?)?;
        Some(Quantized { value: value.to_owned(), scale, zero_point })
    }
}

fn real_constant(tensor: &TensorProto) -> Option<f32> {
    if tensor.data_type() != DataType::Float as i32 || tensor.dims.iter().any(|length| *length != 1) {
        return None;
    }
    let raw = || tensor.raw_data().try_into().ok().map(f32::from_le_bytes);
    tensor.float_data.first().copied().or_else(raw)
}

fn byte_constant(tensor: &TensorProto) -> Option<u8> {
    if tensor.data_type() != DataType::Uint8 as i32 || tensor.dims.iter().any(|length| *length != 1) {
        return None;
    }
    let plain = tensor.int32_data.first().and_then(|number| u8::try_from(*number).ok());
    plain.or_else(|| tensor.raw_data().first().copied())
}

/// Puts one node, with its transposes, in the place of each chain's last.
fn replace(graph: &mut GraphProto, chains: &[Chain]) {
    let gone: HashSet<usize> = chains.iter().flat_map(|chain| chain.nodes.iter().copied()).collect();
    let ends: HashMap<usize, &Chain> = chains.iter().filter_map(|chain| Some((*chain.nodes.last()?, chain))).collect();
    let old = std::mem::take(&mut graph.node);
    for (place, node) in old.iter().enumerate() {
        match ends.get(&place) {
            Some(chain) => graph.node.extend(chain.rewritten(&old[chain.nodes[0]])),
            None if !gone.contains(&place) => graph.node.push(node.clone()),
            None => {}
        }
    }
    let readers = readers(graph, &graph.node);
    let idle = |node: &NodeProto| node.output.iter().all(|name| !readers.contains_key(name));
    graph.node.retain(|node| !(is(node, "", "DequantizeLinear") && idle(node)));
}

impl Chain {
    /// The nodes that stand for the chain, which `block` begins.
    fn rewritten(&self, block: &NodeProto) -> Vec<NodeProto> {
        let own = |tensor: &str| format!("{BLOCKED_DOMAIN}/{}/{tensor}", self.y.value);
        let mut nodes = vec![transpose(&self.x.value, &own("x"), &TO_CHANNELS_LAST)];
        let mut node = block.clone();
        (node.op_type, node.domain) = (Some(QUANTIZED_NAME.into()), Some(BLOCKED_DOMAIN.into()));
        (node.input[0], node.output) = (own("x"), vec![own("y")]);
        node.attribute.push(integer_attribute(RELU_ATTRIBUTE, self.relu.into()));
        node.attribute.extend(self.x.attributes("x").into_iter().chain(self.y.attributes("y")));
        if let Some(residual) = &self.residual {
            nodes.push(transpose(&residual.value, &own("residual"), &TO_CHANNELS_LAST));
            node.input.push(own("residual"));
            node.attribute.extend(residual.attributes("residual"));
        }
        nodes.extend([node, transpose(&own("y"), &self.y.value, &TO_CHANNELS_FIRST)]);
        nodes
    }
}

impl Quantized {
    fn attributes(&self, tensor: &str) -> [AttributeProto; 2] {
        let (name, r#type) = (Some(format!("{tensor}_scale")), Some(AttributeType::Float as i32));
        let scale = AttributeProto { name, r#type, f: Some(self.scale), ..AttributeProto::default() };
        [scale, integer_attribute(&format!("{tensor}_zero_point"), self.zero_point.into())]
    }
}

fn transpose(from: &str, to: &str, order: &[i64]) -> NodeProto {
    let (name, r#type) = (Some("perm".into()), Some(AttributeType::Ints as i32));
    NodeProto {
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        op_type: Some("Transpose".into()),
        attribute: vec![AttributeProto { name, r#type, ints: order.to_vec(), ..AttributeProto::default() }],
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests;
