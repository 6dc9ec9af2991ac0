//! Convolutions become ours, their filters transformed here, once.

use ce_op::convolution::{Tile, transformed};
use ce_op::onnx::{
    BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, CONVOLUTION_NAME, PADS_ATTRIBUTE, RANGE_ATTRIBUTE, STRIDE_ATTRIBUTE,
};

use super::{Convolution, Made, extend_constants};
use crate::model::onnx::{GraphProto, NodeProto};
use crate::model::plan::rewrite::{floats_attribute, integer_attribute, integers_attribute};

/// Pairs of channels up to which filters are transformed for the largest tile, 4 times as many numbers as the definition's. Where there are more, a picture
/// waits longer for them to be read than for what is done with them.
const PAIRS_OF_FOUR: usize = 128 * 128;

/// The same for the tile of 3x3 results, 2.8 times as many numbers; for that of 2x2 they are 1.8 times as many.
const PAIRS_OF_THREE: usize = 256 * 256;

/// The same at strides of 2, where transformed filters are 2.8 times as many numbers; where there are more pairs, the definition is as fast.
const PAIRS_OF_STRIDED_TILE: usize = 256 * 256;

/// Rewrites `graph`, whose blocks are of `block` channels; how many convolutions are ours now, and how many of these are Winograd's.
pub(super) fn rewrite(graph: &mut GraphProto, block: usize) -> (usize, usize) {
    let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut made = Made::new();
    let rewritten: Vec<_> = (graph.node.iter().enumerate())
        .filter_map(|(index, node)| {
            let convolution = Convolution::of(node, &constants, block)?;
            let tile = tile(&convolution);
            Some((index, tile, rewritten(&convolution, tile, node, block, &mut made)))
        })
        .collect();
    let winograd = rewritten.iter().filter(|(_, tile, _)| !matches!(tile, Tile::Pixel | Tile::One)).count();
    let count = rewritten.len();
    rewritten.into_iter().for_each(|(index, _, node)| graph.node[index] = node);
    extend_constants(graph, made);
    (count, winograd)
}

fn tile(convolution: &Convolution<'_>) -> Tile {
    let pairs: usize = convolution.channels.iter().product();
    match (convolution.side, convolution.stride) {
        (1, _) => Tile::Pixel,
        (7, _) => Tile::Stem,
        (_, 1) if pairs <= PAIRS_OF_FOUR => Tile::Four,
        (_, 1) if pairs <= PAIRS_OF_THREE => Tile::Three,
        (_, 1) => Tile::Two,
        _ if pairs <= PAIRS_OF_STRIDED_TILE => Tile::StridedTwo,
        _ => Tile::One,
    }
}

/// `node` as ours.
fn rewritten(convolution: &Convolution<'_>, tile: Tile, node: &NodeProto, block: usize, made: &mut Made) -> NodeProto {
    let channels @ [outputs, inputs] = convolution.channels;
    let filters = convolution.filters(made, &[outputs, tile.planes(inputs), tile.side(), tile.side()], |filters| {
        transformed(filters, channels, block, tile)
    });
    let mut input = vec![node.input[0].clone(), filters, convolution.bias(made)];
    input.extend(node.input.get(3).cloned());
    NodeProto {
        input,
        op_type: Some(CONVOLUTION_NAME.into()),
        domain: Some(BLOCKED_DOMAIN.into()),
        attribute: vec![
            integers_attribute(PADS_ATTRIBUTE, &convolution.pads),
            integer_attribute(STRIDE_ATTRIBUTE, convolution.stride),
            integer_attribute(BLOCK_ATTRIBUTE, block as i64),
            floats_attribute(RANGE_ATTRIBUTE, &convolution.range),
        ],
        ..node.clone()
    }
}
