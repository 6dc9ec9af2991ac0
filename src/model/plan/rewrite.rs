//! The rewriting of a graph that ONNX Runtime has optimised, so that CE blocks work on its blocked layout.
//!
//! The runtime keeps tensors between convolutions in blocks of channels, and puts `ReorderOutput` and `ReorderInput` around
//! a node that doesn't know them. A CE node behind a `ReorderOutput` becomes one that reads the blocks themselves, takes along an `Add`
//! with another blocked tensor and a `Relu` where these alone read it, and writes blocks; a `ReorderInput` of
//! what it wrote goes. Whoever else reads a result still finds it under its name, in rows: a `ReorderOutput` gives it. So each node that
//! doesn't fit stays as it is, and no pattern has to fit as a whole.

use std::collections::{HashMap, HashSet};
use std::fmt;

use ce_op::onnx::{BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, BLOCKED_NAME, DOMAIN, NAME, RELU_ATTRIBUTE};
use serde::{Deserialize, Serialize};

use super::values::{Values, captured, inputs_and_captured, readers};
use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

/// The domain of the runtime's operators on blocks.
pub(super) const NCHWC_DOMAIN: &str = "com.microsoft.nchwc";

/// How a network's CE blocks and convolutions run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// CE blocks on the runtime's blocked layout.
    pub blocked: usize,
    /// Between 8-bit tensors, with the channels last.
    pub quantized: usize,
    /// Of these, with the `Add` that follows.
    pub with_add: usize,
    /// Of these, with the `Relu` that follows.
    pub with_relu: usize,
    /// Of these, with the 1x1 convolution before.
    pub with_convolution: usize,
    /// In rows, as the file has them.
    pub plain: usize,
    /// Convolutions that are ours; those within CE blocks are not among them.
    pub convolutions: usize,
    /// Of these, Winograd's.
    pub winograd: usize,
}

impl Coverage {
    /// These and `others`, of other blocks.
    pub(super) fn and(self, others: Self) -> Self {
        Self {
            blocked: self.blocked + others.blocked,
            quantized: self.quantized + others.quantized,
            with_add: self.with_add + others.with_add,
            with_relu: self.with_relu + others.with_relu,
            with_convolution: self.with_convolution + others.with_convolution,
            plain: self.plain + others.plain,
            convolutions: self.convolutions + others.convolutions,
            winograd: self.winograd + others.winograd,
        }
    }

    /// CE blocks in all.
    fn ce_blocks(self) -> usize {
        self.blocked + self.quantized + self.plain
    }

    fn count(&mut self, node: &NodeProto) {
        self.blocked += 1;
        self.with_add += usize::from(node.input.len() > OPERATOR_INPUTS);
        self.with_relu += usize::from(integer(node, RELU_ATTRIBUTE) == Some(1));
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocked, quantized, with_add, with_relu, with_convolution, plain, convolutions, winograd } = *self;
        if self.ce_blocks() > 0 {
            match (blocked, quantized) {
                (_, 0) => write!(formatter, "{blocked} blocked")?,
                (0, _) => write!(formatter, "{quantized} between 8-bit tensors")?,
                _ => write!(formatter, "{blocked} blocked, {quantized} between 8-bit tensors")?,
            }
            write!(
                formatter,
                " ({with_add} with the add, {with_relu} with the ReLU after it, {with_convolution} with the convolution before it), {plain} plain"
            )?;
        }
        if convolutions > 0 {
            let separator = if self.ce_blocks() > 0 { "; " } else { "" };
            write!(formatter, "{separator}{convolutions} convolutions of ours ({winograd} by Winograd)")?;
        }
        Ok(())
    }
}

/// Inputs of the operator; what is added comes after them.
pub(super) const OPERATOR_INPUTS: usize = 6;

/// How a tensor to be added is taken whose shape the graph doesn't tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// As of the result's shape; if it isn't, the node fails.
    Same,
    /// As of another, so that the `Add` stays.
    Different,
}

/// Rewrites `model` for blocks of `block` channels.
pub(super) fn rewrite(model: &mut ModelProto, block: usize, unknown: Unknown) -> Coverage {
    let Some(graph) = &mut model.graph else { return Coverage::default() };
    let mut rewriting = Rewriting::of(graph, block, unknown);
    std::mem::take(&mut graph.node).into_iter().for_each(|node| rewriting.take(node));
    rewriting.write_rest();
    graph.node = without_idle_reorders(graph, rewriting.nodes);
    if rewriting.coverage.blocked > 0 {
        import_own_domain(model);
    }
    rewriting.coverage
}

/// Lets `model` hold the operators of rewritten graphs.
pub(super) fn import_own_domain(model: &mut ModelProto) {
    if !model.opset_import.iter().any(|import| import.domain() == BLOCKED_DOMAIN) {
        model.opset_import.push(OperatorSetIdProto { domain: Some(BLOCKED_DOMAIN.into()), version: Some(1) });
    }
}

/// A value that is there in blocks, under another name.
#[derive(Clone, PartialEq)]
struct InBlocks {
    name: String,
    channels: i64,
}

/// A CE node on blocks that isn't written yet, because it may take along what follows.
struct Pending {
    node: NodeProto,
    channels: i64,
    /// The value in rows that it reads: of the result's shape.
    source: String,
}

struct Rewriting {
    values: Values,
    /// Values that graphs within nodes read, or whoever runs the graph: they keep their names.
    kept: HashSet<String>,
    block: usize,
    unknown: Unknown,
    /// Values in rows that are there in blocks too.
    in_blocks: HashMap<String, InBlocks>,
    /// Values in blocks that are the same as others.
    renamed: HashMap<String, String>,
    /// By the name of the result in rows.
    pending: HashMap<String, Pending>,
    nodes: Vec<NodeProto>,
    coverage: Coverage,
}

impl Rewriting {
    fn of(graph: &GraphProto, block: usize, unknown: Unknown) -> Self {
        let outputs = graph.output.iter().map(|output| output.name().to_owned());
        Self {
            values: Values::of(graph),
            kept: graph.node.iter().flat_map(captured).chain(outputs).collect(),
            block,
            unknown,
            in_blocks: HashMap::new(),
            renamed: HashMap::new(),
            pending: HashMap::new(),
            nodes: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// Takes the next node: rewritten, taken along, left out, or as it is.
    fn take(&mut self, mut node: NodeProto) {
        if self.begin(&node) || self.take_along_add(&node) || self.take_along_relu(&node) {
            return;
        }
        inputs_and_captured(&node).iter().for_each(|name| self.write(name));
        if self.leave_out(&node) {
            return;
        }
        for input in &mut node.input {
            if let Some(name) = self.renamed.get(input) {
                input.clone_from(name);
            }
        }
        self.coverage.plain += usize::from(is(&node, DOMAIN, NAME));
        if is_reorder(&node, "ReorderOutput")
            && let Some(channels) = integer(&node, "channels")
        {
            self.in_blocks.insert(node.output[0].clone(), InBlocks { name: node.input[0].clone(), channels });
        }
        self.nodes.push(node);
    }

    /// Begins a CE node on blocks, if that is what `node` can be.
    fn begin(&mut self, node: &NodeProto) -> bool {
        let fits = is(node, DOMAIN, NAME) && node.input.len() == OPERATOR_INPUTS && node.output.len() == 1;
        if !fits || !node.input[1..].iter().all(|name| self.values.constant(name).is_some()) {
            return false;
        }
        let Some(x) = self.in_blocks.get(&node.input[0]) else { return false };
        let Some([groups, width, _]) = self.values.constant(&node.input[1]) else { return false };
        if groups.checked_mul(*width) != Some(x.channels) {
            return false;
        }
        let mut begun = node.clone();
        (begun.op_type, begun.domain) = (Some(BLOCKED_NAME.into()), Some(BLOCKED_DOMAIN.into()));
        begun.input[0].clone_from(&x.name);
        begun.attribute.push(integer_attribute(BLOCK_ATTRIBUTE, self.block as i64));
        let pending = Pending { node: begun, channels: x.channels, source: node.input[0].clone() };
        self.pending.insert(node.output[0].clone(), pending);
        true
    }

    /// Takes an `Add` of a pending result and another blocked tensor of its shape along, if nobody else reads the result.
    fn take_along_add(&mut self, node: &NodeProto) -> bool {
        let ([a, b], [sum]) = (node.input.as_slice(), node.output.as_slice()) else { return false };
        is(node, "", "Add")
            && [(a, b), (b, a)].into_iter().any(|(result, addend)| self.take_along_sum(sum, result, addend))
    }

    fn take_along_sum(&mut self, sum: &str, result: &str, addend: &str) -> bool {
        let Some(pending) = self.pending.get(result) else { return false };
        let free = pending.node.input.len() == OPERATOR_INPUTS && !pending.has_relu();
        let same = self.values.have_one_shape(&pending.source, addend).unwrap_or(self.unknown == Unknown::Same);
        if !free || self.values.readers(result) != 1 || !same {
            return false;
        }
        let channels = pending.channels;
        self.write(addend);
        let Some(in_blocks) = self.in_blocks.get(addend).filter(|addend| addend.channels == channels) else {
            return false;
        };
        let Some(mut pending) = self.pending.remove(result) else { return false };
        pending.node.input.push(in_blocks.name.clone());
        self.pending.insert(sum.to_owned(), pending);
        true
    }

    /// Takes a `Relu` of a pending result along, if nobody else reads the result.
    fn take_along_relu(&mut self, node: &NodeProto) -> bool {
        let ([x], [y]) = (node.input.as_slice(), node.output.as_slice()) else { return false };
        if !is(node, "", "Relu") || self.values.readers(x) != 1 {
            return false;
        }
        let Some(mut pending) = self.pending.remove(x) else { return false };
        if !pending.has_relu() {
            pending.node.attribute.push(integer_attribute(RELU_ATTRIBUTE, 1));
        }
        self.pending.insert(y.clone(), pending);
        true
    }

    /// Leaves a `ReorderInput` out whose input is there in blocks.
    fn leave_out(&mut self, node: &NodeProto) -> bool {
        if !is_reorder(node, "ReorderInput") || self.kept.contains(&node.output[0]) {
            return false;
        }
        let Some(in_blocks) = self.in_blocks.get(&node.input[0]) else { return false };
        self.renamed.insert(node.output[0].clone(), in_blocks.name.clone());
        true
    }

    /// Writes the node whose result `name` is, if it is pending: its result is there in blocks, and by its own name in rows.
    fn write(&mut self, name: &str) {
        let Some(Pending { mut node, channels, .. }) = self.pending.remove(name) else { return };
        let blocks = format!("{BLOCKED_DOMAIN}/{name}");
        self.coverage.count(&node);
        node.output = vec![blocks.clone()];
        self.nodes.push(node);
        self.nodes.push(NodeProto {
            input: vec![blocks.clone()],
            output: vec![name.to_owned()],
            op_type: Some("ReorderOutput".into()),
            domain: Some(NCHWC_DOMAIN.into()),
            attribute: vec![integer_attribute("channels", channels), integer_attribute("channels_last", 0)],
            ..NodeProto::default()
        });
        self.in_blocks.insert(name.to_owned(), InBlocks { name: blocks, channels });
    }

    /// Writes what is pending at the end: outputs of the graph.
    fn write_rest(&mut self) {
        let mut names: Vec<_> = self.pending.keys().cloned().collect();
        names.sort();
        names.iter().for_each(|name| self.write(name));
    }
}

impl Pending {
    fn has_relu(&self) -> bool {
        integer(&self.node, RELU_ATTRIBUTE) == Some(1)
    }
}

/// Reorders whose rows nobody reads any more are left out.
fn without_idle_reorders(graph: &GraphProto, nodes: Vec<NodeProto>) -> Vec<NodeProto> {
    let readers = readers(graph, &nodes);
    let idle = |node: &NodeProto| is_reorder(node, "ReorderOutput") && !readers.contains_key(&node.output[0]);
    nodes.into_iter().filter(|node| !idle(node)).collect()
}

pub(super) fn is(node: &NodeProto, domain: &str, operator: &str) -> bool {
    let same_domain = node.domain() == domain || (domain.is_empty() && node.domain() == "ai.onnx");
    same_domain && node.op_type() == operator
}

/// Whether a node is the runtime's reorder to or from `[N, C, H, W]`, of one value.
fn is_reorder(node: &NodeProto, operator: &str) -> bool {
    let of_one = node.input.len() == 1 && node.output.len() == 1;
    of_one && is(node, NCHWC_DOMAIN, operator) && integer(node, "channels_last").unwrap_or(0) == 0
}

pub(super) fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name() == name).map(AttributeProto::i)
}

pub(super) fn integer_attribute(name: &str, value: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Int as i32));
    AttributeProto { name, r#type, i: Some(value), ..AttributeProto::default() }
}

pub(super) fn integers_attribute(name: &str, values: &[i64]) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Ints as i32));
    AttributeProto { name, r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn floats_attribute(name: &str, values: &[f32]) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Floats as i32));
    AttributeProto { name, r#type, floats: values.to_vec(), ..AttributeProto::default() }
}

#[cfg(test)]
mod tests;
