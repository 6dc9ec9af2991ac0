//! 1x1 convolutions that only a CE block reads become part of it, their filters put in the order that it reads them in.

use std::collections::{BTreeSet, HashMap};

use ce_op::convolution::Tile;
use ce_op::onnx::{BLOCKED_DOMAIN, BLOCKED_NAME, CONVOLVED_NAME};

use super::{Convolution, Made, extend_constants};
use crate::model::onnx::{GraphProto, NodeProto};
use crate::model::plan::rewrite::{OPERATOR_INPUTS, is};
use crate::model::plan::values::readers;

/// Rewrites `graph`, whose blocks are of `block` channels; how many convolutions are part of a CE block now.
pub(super) fn rewrite(graph: &mut GraphProto, block: usize) -> usize {
    let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let readers = readers(graph, &graph.node);
    let makers: HashMap<_, _> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name, index)))
        .collect();
    let mut made = Made::new();
    let (mut taken, mut rewritten) = (BTreeSet::new(), Vec::new());
    let is_block = |node: &NodeProto| is(node, BLOCKED_DOMAIN, BLOCKED_NAME) && node.input.len() >= OPERATOR_INPUTS;
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| is_block(node)) {
        let Some(&maker) = makers.get(&node.input[0]).filter(|_| readers.get(&node.input[0]) == Some(&1)) else {
            continue;
        };
        let before = &graph.node[maker];
        let Some(convolution) = Convolution::of(before, &constants, block).filter(Convolution::is_pointwise) else {
            continue;
        };
        if before.input.len() <= 3 {
            taken.insert(maker);
            rewritten.push((index, convolved(&convolution, before, node, block, &mut made)));
        }
    }
    let count = rewritten.len();
    rewritten.into_iter().for_each(|(index, node)| graph.node[index] = node);
    let mut index = 0..;
    graph.node.retain(|_| !index.next().is_some_and(|index| taken.contains(&index)));
    extend_constants(graph, made);
    count
}

/// `node`, a CE block, with `convolution` in it, which is the node `before`.
fn convolved(
    convolution: &Convolution<'_>,
    before: &NodeProto,
    node: &NodeProto,
    block: usize,
    made: &mut Made,
) -> NodeProto {
    let filters = convolution.filters(made, Tile::Pixel, block);
    let (operator, addend) = node.input.split_at(OPERATOR_INPUTS);
    let mut input = operator.to_vec();
    input[0].clone_from(&before.input[0]);
    input.extend([filters, convolution.bias(made)]);
    input.extend_from_slice(addend);
    NodeProto { input, op_type: Some(CONVOLVED_NAME.into()), ..node.clone() }
}
