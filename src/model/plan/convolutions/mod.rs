//! The rewriting of the convolutions of a graph that ONNX Runtime has optimised: those of 1x1 pixels before a CE block become part of it
//! (`before_blocks`), others on blocks become ours (`dense`).
//!
//! A convolution fits if it is of 1x1 or 3x3 pixels at strides of 1 or 2, or of 7x7 at strides of 2 on a picture of fewer channels than a block has; has one
//! group, no dilations, filters and a bias that are constant, and nothing but a ReLU or a clip in it. All others stay.

mod before_blocks;
mod dense;
mod sides;

use std::collections::{BTreeMap, HashMap};

use bytemuck::{cast_slice, pod_collect_to_vec};
use ce_op::convolution::{RELU, Tile, UNBOUNDED, transformed};
use ce_op::onnx::BLOCKED_DOMAIN;

use super::rewrite::{Coverage, NCHWC_DOMAIN, import_own_domain, integer, is};
use super::values::readers;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Rewrites `model`, whose blocks are of `block` channels, and counts what is rewritten.
pub(super) fn rewrite(model: &mut ModelProto, block: usize, coverage: &mut Coverage) {
    let Some(graph) = &mut model.graph else { return };
    coverage.with_convolution = before_blocks::rewrite(graph, block);
    (coverage.convolutions, coverage.winograd) = dense::rewrite(graph, block);
    if coverage.convolutions > 0 {
        import_own_domain(model);
    }
}

/// Constants that are made for rewritten nodes, by name.
type Made = BTreeMap<String, TensorProto>;

/// Adds what is made to the constants of `graph`; those that nobody reads any more go.
fn extend_constants(graph: &mut GraphProto, made: Made) {
    if made.is_empty() {
        return;
    }
    graph.initializer.extend(made.into_values());
    let readers = readers(graph, &graph.node);
    graph.initializer.retain(|tensor| readers.contains_key(tensor.name()));
}

/// A convolution that fits.
struct Convolution<'a> {
    filters: &'a TensorProto,
    bias: Option<&'a str>,
    /// Outputs and inputs, with those that fill up the last block; a picture's channels aren't filled up.
    channels: [usize; 2],
    /// Pixels of a filter's side.
    side: usize,
    /// 1 or 2.
    stride: i64,
    pads: Vec<i64>,
    /// What its results are clamped between.
    range: [f32; 2],
}

impl<'a> Convolution<'a> {
    fn of(node: &'a NodeProto, constants: &HashMap<&str, &'a TensorProto>, block: usize) -> Option<Self> {
        if !is(node, NCHWC_DOMAIN, "Conv") || node.output.len() != 1 {
            return None;
        }
        let filters = *constants.get(node.input.get(1)?.as_str())?;
        let [outputs, inputs, side @ (1 | 3 | 7), columns] = filters.dims[..] else { return None };
        let channels @ [_, from] = [usize::try_from(outputs).ok()?, usize::try_from(inputs).ok()?];
        let whole = |count: usize| count >= block && count.is_multiple_of(block);
        let bias = node.input.get(2).map(String::as_str).filter(|name| !name.is_empty());
        let fits = side == columns
            && whole(channels[0])
            && if side == 7 { (1..block).contains(&from) } else { whole(from) }
            && has_numbers(filters, outputs.checked_mul(inputs)?.checked_mul(side * side)?)
            && bias.is_none_or(|name| constants.get(name).is_some_and(|bias| bias.dims == [outputs]))
            && integer(node, "group").unwrap_or(1) == 1
            && integers(node, "dilations").iter().all(|&step| step == 1)
            && matches!(text(node, "auto_pad"), "" | "NOTSET");
        let range = match text(node, "activation") {
            "" => UNBOUNDED,
            "Relu" => RELU,
            "Clip" => attribute(node, "activation_params")?.floats[..].try_into().ok()?,
            _ => return None,
        };
        let stride = match integers(node, "strides")[..] {
            [] if side != 7 => 1,
            [1, 1] if side != 7 => 1,
            [2, 2] => 2,
            _ => return None,
        };
        let pads = integers(node, "pads");
        let pads = if pads.is_empty() { vec![0; 4] } else { pads };
        let fits = fits && range[0] <= range[1] && pads.len() == 4 && pads.iter().all(|pad| (0..side).contains(pad));
        let side = usize::try_from(side).ok()?;
        fits.then_some(Self { filters, bias, channels, side, stride, pads, range })
    }

    /// What those have in common that can have the same filters.
    fn key(&self) -> (&'a str, i64) {
        (self.filters.name(), self.stride)
    }

    /// Whether it is nothing but a matrix times pixels.
    fn is_pointwise(&self) -> bool {
        self.side == 1 && self.stride == 1 && self.range == UNBOUNDED
    }

    /// The name of its filters, transformed for `tile` in blocks of `block` channels; they are made unless another node has them already.
    fn filters(&self, made: &mut Made, tile: Tile, block: usize) -> String {
        let [outputs, inputs] = self.channels;
        let dims = [outputs, tile.planes(inputs), tile.side(), tile.side()];
        constant(made, &format!("{} for {tile:?}", self.filters.name()), &dims, || {
            transformed(&pod_collect_to_vec::<u8, f32>(self.filters.raw_data()), self.channels, block, tile)
        })
    }

    /// The name of its bias, made of zeros where it has none.
    fn bias(&self, made: &mut Made) -> String {
        let outputs = self.channels[0];
        let zeros = || constant(made, &format!("no bias of {outputs}"), &[outputs], || vec![0.0; outputs]);
        self.bias.map_or_else(zeros, ToOwned::to_owned)
    }
}

fn constant(made: &mut Made, name: &str, dims: &[usize], numbers: impl Fn() -> Vec<f32>) -> String {
    let name = format!("{BLOCKED_DOMAIN}/{name}");
    made.entry(name.clone()).or_insert_with(|| tensor(&name, dims, &numbers()));
    name
}

fn has_numbers(tensor: &TensorProto, count: i64) -> bool {
    let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(size_of::<f32>()));
    tensor.data_type() == DataType::Float as i32 && Some(tensor.raw_data().len()) == bytes
}

fn tensor(name: &str, dims: &[usize], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.iter().map(|&length| length as i64).collect(),
        data_type: Some(DataType::Float as i32),
        raw_data: Some(cast_slice(numbers).to_vec()),
        ..TensorProto::default()
    }
}

fn integers(node: &NodeProto, name: &str) -> Vec<i64> {
    attribute(node, name).map_or_else(Vec::new, |attribute| attribute.ints.clone())
}

fn text<'n>(node: &'n NodeProto, name: &str) -> &'n str {
    attribute(node, name).and_then(|attribute| std::str::from_utf8(attribute.s()).ok()).unwrap_or_default()
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

#[cfg(test)]
mod tests;
