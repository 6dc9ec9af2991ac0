//! The rewriting of a graph that ONNX Runtime has optimised, so that its 3x3 convolutions take fewer products: those on blocks become Winograd's,
//! their filters transformed here, once.
//!
//! A convolution fits if it has one group, strides and dilations of 1, filters and a bias that are constant, and nothing but a ReLU in it. All
//! others stay.

use std::collections::{BTreeMap, HashMap};

use bytemuck::{cast_slice, pod_collect_to_vec};
use ce_op::onnx::{BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, PADS_ATTRIBUTE, RELU_ATTRIBUTE, WINOGRAD_NAME};
use ce_op::winograd::{MOST_PADS, Tile, transformed};

use super::rewrite::{NCHWC_DOMAIN, import_own_domain, integer, integer_attribute, integers_attribute, is};
use super::values::readers;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, ModelProto, NodeProto, TensorProto};

/// Pairs of channels up to which filters are transformed for the larger tile: 4 times as many numbers as the definition's, and 1.8 times as many
/// otherwise. Where there are more, a picture waits longer for them to be read than for what is done with them.
const PAIRS_OF_LARGE_TILE: usize = 128 * 128;

/// Rewrites `model`, whose blocks are of `block` channels; how many convolutions are Winograd's now.
pub(super) fn rewrite(model: &mut ModelProto, block: usize) -> usize {
    let Some(graph) = &mut model.graph else { return 0 };
    let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut made = BTreeMap::new();
    let rewritten: Vec<_> = (graph.node.iter().enumerate())
        .filter_map(|(index, node)| {
            Some((index, Convolution::of(node, &constants, block)?.rewritten(node, block, &mut made)))
        })
        .collect();
    if rewritten.is_empty() {
        return 0;
    }
    let count = rewritten.len();
    rewritten.into_iter().for_each(|(index, node)| graph.node[index] = node);
    graph.initializer.extend(made.into_values());
    let readers = readers(graph, &graph.node);
    graph.initializer.retain(|tensor| readers.contains_key(tensor.name()));
    import_own_domain(model);
    count
}

/// A convolution that fits.
struct Convolution<'a> {
    filters: &'a TensorProto,
    /// Outputs and inputs, with those that fill up the last block.
    channels: [usize; 2],
    pads: Vec<i64>,
    relu: bool,
}

impl<'a> Convolution<'a> {
    fn of(node: &NodeProto, constants: &HashMap<&str, &'a TensorProto>, block: usize) -> Option<Self> {
        if !is(node, NCHWC_DOMAIN, "Conv") || node.output.len() != 1 {
            return None;
        }
        let filters = *constants.get(node.input.get(1)?.as_str())?;
        let [outputs, inputs, 3, 3] = filters.dims[..] else { return None };
        let channels = [usize::try_from(outputs).ok()?, usize::try_from(inputs).ok()?];
        let bias = node.input.get(2).filter(|name| !name.is_empty());
        let fits = channels.iter().all(|&count| count >= block && count.is_multiple_of(block))
            && has_numbers(filters, outputs.checked_mul(inputs)?.checked_mul(9)?)
            && bias.is_none_or(|name| constants.get(name.as_str()).is_some_and(|bias| bias.dims == [outputs]))
            && integer(node, "group").unwrap_or(1) == 1
            && ["strides", "dilations"].iter().all(|name| integers(node, name).iter().all(|&step| step == 1))
            && matches!(text(node, "auto_pad"), "" | "NOTSET");
        let relu = match text(node, "activation") {
            "" => false,
            "Relu" => true,
            _ => return None,
        };
        let pads = integers(node, "pads");
        let pads = if pads.is_empty() { vec![0; 4] } else { pads };
        (fits && pads.len() == 4 && pads.iter().all(|pad| (0..=MOST_PADS as i64).contains(pad))).then_some(Self {
            filters,
            channels,
            pads,
            relu,
        })
    }

    /// `node` as Winograd's; the constants that it needs are `made`, unless another one has.
    fn rewritten(&self, node: &NodeProto, block: usize, made: &mut BTreeMap<String, TensorProto>) -> NodeProto {
        let [outputs, inputs] = self.channels;
        let mut constant = |name: &str, dims: &[usize], numbers: &dyn Fn() -> Vec<f32>| {
            let name = format!("{BLOCKED_DOMAIN}/{name}");
            made.entry(name.clone()).or_insert_with(|| constant(name.clone(), dims, &numbers()));
            name
        };
        let tile = if outputs * inputs <= PAIRS_OF_LARGE_TILE { Tile::Four } else { Tile::Two };
        let side = tile.size() + 2;
        let filters = constant(self.filters.name(), &[outputs, inputs, side, side], &|| {
            transformed(&pod_collect_to_vec::<u8, f32>(self.filters.raw_data()), self.channels, block, tile)
        });
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(bias) => bias.clone(),
            None => constant(&format!("no bias of {outputs}"), &[outputs], &|| vec![0.0; outputs]),
        };
        let mut input = vec![node.input[0].clone(), filters, bias];
        input.extend(node.input.get(3).cloned());
        NodeProto {
            input,
            op_type: Some(WINOGRAD_NAME.into()),
            domain: Some(BLOCKED_DOMAIN.into()),
            attribute: vec![
                integers_attribute(PADS_ATTRIBUTE, &self.pads),
                integer_attribute(BLOCK_ATTRIBUTE, block as i64),
                integer_attribute(RELU_ATTRIBUTE, i64::from(self.relu)),
            ],
            ..node.clone()
        }
    }
}

fn has_numbers(tensor: &TensorProto, count: i64) -> bool {
    let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(size_of::<f32>()));
    tensor.data_type() == DataType::Float as i32 && Some(tensor.raw_data().len()) == bytes
}

fn constant(name: String, dims: &[usize], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name),
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
mod tests {
    use super::*;
    use crate::model::onnx::GraphProto;

    const BLOCK: usize = 8;

    /// A convolution of `x` with the filters `w`, to be changed.
    fn convolution() -> NodeProto {
        let text = |name: &str, value: &str| AttributeProto {
            name: Some(name.into()),
            s: Some(value.as_bytes().to_vec()),
            ..AttributeProto::default()
        };
        NodeProto {
            input: ["x", "w", "b"].map(str::to_owned).to_vec(),
            output: vec!["y".into()],
            op_type: Some("Conv".into()),
            domain: Some(NCHWC_DOMAIN.into()),
            attribute: vec![
                integers_attribute("pads", &[1, 1, 1, 1]),
                integers_attribute("strides", &[1, 1]),
                integers_attribute("dilations", &[1, 1]),
                integer_attribute("group", 1),
                text("auto_pad", "NOTSET"),
                text("activation", "Relu"),
            ],
            ..NodeProto::default()
        }
    }

    fn model(nodes: Vec<NodeProto>) -> ModelProto {
        let zeros = |name: &str, dims: &[usize]| constant(name.into(), dims, &vec![0.0; dims.iter().product()]);
        let initializer = vec![
            zeros("w", &[16, 8, 3, 3]),
            zeros("b", &[16]),
            zeros("large", &[256, 128, 3, 3]),
            zeros("pointwise", &[16, 8, 1, 1]),
            zeros("of the picture", &[16, 3, 3, 3]),
        ];
        let graph = GraphProto { node: nodes, initializer, ..GraphProto::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    fn rewritten(nodes: Vec<NodeProto>) -> (usize, GraphProto) {
        let mut model = model(nodes);
        let count = rewrite(&mut model, BLOCK);
        assert_eq!(model.opset_import.len(), usize::from(count > 0), "the domain is imported where it is used");
        (count, model.graph.expect("a graph"))
    }

    fn changed(change: impl FnOnce(&mut NodeProto)) -> NodeProto {
        let mut node = convolution();
        change(&mut node);
        node
    }

    fn lengths<'g>(graph: &'g GraphProto, name: &str) -> &'g [i64] {
        &graph.initializer.iter().find(|tensor| tensor.name() == name).expect(name).dims
    }

    #[test]
    fn a_convolution_that_fits_is_winograds() {
        let added = changed(|node| node.input.push("added".into()));
        let (count, graph) = rewritten(vec![added]);
        assert_eq!(count, 1);
        let node = &graph.node[0];
        assert!(is(node, BLOCKED_DOMAIN, WINOGRAD_NAME));
        assert_eq!(node.input, ["x", "ai.cenet.cpu/w", "b", "added"]);
        assert_eq!((integer(node, "block"), integer(node, "relu")), (Some(8), Some(1)));
        assert_eq!(integers(node, "pads"), [1; 4]);
        assert_eq!(lengths(&graph, "ai.cenet.cpu/w"), [16, 8, 6, 6]);
        assert!(!graph.initializer.iter().any(|tensor| tensor.name() == "w"), "nobody reads the old filters");
    }

    #[test]
    fn filters_that_several_share_are_transformed_once() {
        let other = changed(|node| node.output = vec!["z".into()]);
        let without_bias = changed(|node| {
            node.input.truncate(2);
            node.attribute.clear();
        });
        let plain = changed(|node| node.attribute = vec![integers_attribute("strides", &[2, 2])]);
        let (count, graph) = rewritten(vec![convolution(), other, without_bias, plain]);
        assert_eq!(count, 3);
        let names: Vec<_> = graph.initializer.iter().map(TensorProto::name).collect();
        assert_eq!(
            names,
            ["w", "b", "ai.cenet.cpu/no bias of 16", "ai.cenet.cpu/w"],
            "one still reads the old filters"
        );
        assert_eq!(integers(&graph.node[2], "pads"), [0; 4]);
        assert_eq!(integer(&graph.node[2], "relu"), Some(0));
    }

    #[test]
    fn many_channels_have_smaller_tiles() {
        let (_, graph) = rewritten(vec![changed(|node| {
            node.input = ["x", "large"].map(str::to_owned).to_vec();
        })]);
        assert_eq!(lengths(&graph, "ai.cenet.cpu/large"), [256, 128, 4, 4]);
    }

    #[test]
    fn what_does_not_fit_stays() {
        let with = |name: &'static str, values: &[i64]| {
            let attribute = integers_attribute(name, values);
            changed(|node| {
                node.attribute.retain(|attribute| attribute.name() != name);
                node.attribute.push(attribute);
            })
        };
        let reading = |input: [&str; 3]| changed(|node| node.input = input.map(str::to_owned).to_vec());
        let nodes = [
            with("strides", &[2, 1]),
            with("dilations", &[1, 2]),
            with("pads", &[1, 1]),
            with("pads", &[1, 1, -1, 1]),
            with("pads", &[1, 1, 3, 1]),
            changed(|node| node.attribute.insert(0, integer_attribute("group", 2))),
            changed(|node| node.attribute[5].s = Some(b"LeakyRelu".to_vec())),
            changed(|node| node.attribute[4].s = Some(b"SAME_UPPER".to_vec())),
            reading(["x", "pointwise", "b"]),
            reading(["x", "of the picture", "b"]),
            reading(["x", "computed", "b"]),
            reading(["x", "w", "computed"]),
            reading(["x", "large", "b"]),
            changed(|node| node.domain = None),
            changed(|node| node.op_type = Some("MaxPool".into())),
            changed(|node| node.input.clear()),
            changed(|node| node.output.clear()),
        ];
        for node in nodes {
            let (count, graph) = rewritten(vec![node.clone()]);
            assert_eq!(count, 0, "{node:?}");
            assert_eq!(graph.node, [node]);
            assert_eq!(graph.initializer.len(), 5);
        }
        let mut broken = model(vec![convolution()]);
        broken.graph.as_mut().expect("a graph").initializer[0].raw_data = Some(vec![0; 7]);
        assert_eq!(rewrite(&mut broken, BLOCK), 0, "filters of another size than they say");
    }
}
