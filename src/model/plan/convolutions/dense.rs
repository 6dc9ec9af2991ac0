//! Convolutions become ours, their filters transformed here, once.

use std::collections::HashMap;

use ce_op::convolution::Tile;
use ce_op::onnx::{
    BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, CONVOLUTION_NAME, PADS_ATTRIBUTE, RANGE_ATTRIBUTE, STRIDE_ATTRIBUTE,
};

use super::sides::sides;
use super::{Convolution, Made, extend_constants};
use crate::model::onnx::{GraphProto, NodeProto};
use crate::model::plan::rewrite::{floats_attribute, integer_attribute, integers_attribute};

/// The tiles for 3x3 filters, the one that pays for the largest pictures first; and up to how many pairs of channels each is taken. Transformed filters are 4, 2.8, 1.8 and
/// 2.8 times as many numbers as the definition's.
const TILES: [(Tile, usize); 5] = [
    (Tile::Four, 128 * 128),
    (Tile::Three, 256 * 256),
    (Tile::Two, usize::MAX),
    (Tile::StridedTwo, 256 * 256),
    (Tile::One, usize::MAX),
];

/// As many tiles take as long to be multiplied as their filters to be read.
const TILES_PER_READING: usize = 20;

/// Rewrites `graph`, whose blocks are of `block` channels; how many convolutions are ours now, and how many of these are Winograd's.
pub(super) fn rewrite(graph: &mut GraphProto, block: usize) -> (usize, usize) {
    let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let nodes = graph.node.iter().enumerate();
    let convolutions: Vec<_> =
        nodes.filter_map(|(index, node)| Some((index, node, Convolution::of(node, &constants, block)?))).collect();
    // several may have the same filters, for pictures of several sizes
    let sides = sides(graph);
    let mut results: HashMap<_, Vec<_>> = HashMap::new();
    for (_, node, convolution) in &convolutions {
        results.entry(convolution.key()).or_default().push(sides.get(node.output[0].as_str()).copied());
    }
    let mut made = Made::new();
    let rewritten: Vec<_> = (convolutions.iter())
        .map(|(index, node, convolution)| {
            let tile = tile(convolution, &results[&convolution.key()]);
            (*index, tile, rewritten(convolution, tile, node, block, &mut made))
        })
        .collect();
    let winograd = rewritten.iter().filter(|(_, tile, _)| !matches!(tile, Tile::Pixel | Tile::One)).count();
    let count = rewritten.len();
    rewritten.into_iter().for_each(|(index, _, node)| graph.node[index] = node);
    extend_constants(graph, made);
    (count, winograd)
}

/// The tile for a convolution, whose filters make results of these sides where that is known.
fn tile(convolution: &Convolution<'_>, results: &[Option<[usize; 2]>]) -> Tile {
    let pairs: usize = convolution.channels.iter().product();
    let stride = usize::try_from(convolution.stride).unwrap_or(0);
    match convolution.side {
        1 => Tile::Pixel,
        7 => Tile::Stem,
        _ => {
            let fitting = TILES.into_iter().filter(|(tile, most)| tile.takes(stride) && pairs <= *most);
            // where nothing is known, the first
            let cost = |tile: &Tile| {
                results.iter().try_fold(0_usize, |sum, sides| Some(sum.saturating_add(cost(*tile, (*sides)?))))
            };
            fitting.map(|(tile, _)| tile).min_by_key(cost).unwrap_or(Tile::One)
        }
    }
}

/// How long a tile takes for one picture, its products or the reading of its filters.
fn cost(tile: Tile, results: [usize; 2]) -> usize {
    // a file may say anything of its pictures
    let along = |length: usize| length.div_ceil(tile.size());
    let tiles = results.into_iter().fold(1_usize, |tiles, length| tiles.saturating_mul(along(length)));
    tile.side().pow(2).saturating_mul(tiles.max(TILES_PER_READING))
}

/// `node` as ours.
fn rewritten(convolution: &Convolution<'_>, tile: Tile, node: &NodeProto, block: usize, made: &mut Made) -> NodeProto {
    let mut input = vec![node.input[0].clone(), convolution.filters(made, tile, block), convolution.bias(made)];
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
