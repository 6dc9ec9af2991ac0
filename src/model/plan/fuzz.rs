//! The rewriting of networks and the reading of plan files, for the fuzzer alone.

use std::fs::File;

use prost::Message;

use super::rewrite::Unknown;
use super::{cache, convolutions, quantized, rewrite};
use crate::model::external::elsewhere_of;
use crate::model::graph::{GraphSummary, count_of, is_ce_block};
pub use crate::model::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto, tensor_proto, tensor_shape_proto, type_proto,
};
use crate::model::runtime;
use crate::model::wire::Wire;

pub use super::rewrite::Coverage;

/// Rewrites a graph as the runtime has optimised it, for blocks of `block` channels; `same` says whether tensors of unknown shapes are
/// taken to fit.
pub fn rewrite_blocked(model: &mut ModelProto, block: usize, same: bool) -> Coverage {
    let mut coverage = rewrite::rewrite(model, block, if same { Unknown::Same } else { Unknown::Different });
    convolutions::rewrite(model, block, &mut coverage);
    coverage
}

/// Rewrites a quantised graph as its file has it.
pub fn rewrite_quantized(model: &mut ModelProto) -> Coverage {
    quantized::rewrite(model)
}

/// The network of an ONNX file. What a load reads of the file beside it is read too.
pub fn decode(bytes: &[u8]) -> Option<ModelProto> {
    let _ = count_of(Wire::of(bytes), is_ce_block);
    let _ = elsewhere_of(Wire::of(bytes));
    let _ = GraphSummary::parse(bytes);
    ModelProto::decode(bytes).ok()
}

/// Reads a plan's file.
pub fn read_plan(file: &File) {
    runtime::environment().expect("the runtime");
    let _ = cache::parse(file);
}

/// What stands before a plan's `head`: its length and its checksum.
pub fn before_head(head: &[u8]) -> Vec<u8> {
    [&(head.len() as u64).to_le_bytes()[..], &cache::sum(head)].concat()
}
