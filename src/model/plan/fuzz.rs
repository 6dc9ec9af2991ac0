//! The rewriting of networks and the reading of plan files, for the fuzzer alone.

use std::io::Cursor;

use prost::Message;

use super::rewrite::Unknown;
use super::{cache, imports, quantized, rewrite};
use crate::model::graph::GraphSummary;
pub use crate::model::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto, tensor_proto, tensor_shape_proto, type_proto,
};

pub use super::rewrite::Coverage;

/// Rewrites a graph as the runtime has optimised it, for blocks of `block` channels; `same` says whether tensors of unknown shapes are
/// taken to fit.
pub fn rewrite_blocked(model: &mut ModelProto, block: usize, same: bool) -> Coverage {
    rewrite::rewrite(model, block, if same { Unknown::Same } else { Unknown::Different })
}

/// Rewrites a quantised graph as its file has it.
pub fn rewrite_quantized(model: &mut ModelProto) -> Coverage {
    quantized::rewrite(model)
}

/// The network of an ONNX file. What a load reads of the file beside it is read too.
pub fn decode(bytes: &[u8]) -> Option<ModelProto> {
    let _ = imports::find(Cursor::new(bytes), "ai.cenet");
    let _ = GraphSummary::parse(bytes);
    ModelProto::decode(bytes).ok()
}

/// Reads `bytes` as a plan's file, and once more behind the checksum that they should have.
pub fn read_plan(bytes: &[u8]) {
    let _ = cache::parse(bytes);
    let _ = cache::parse(&[cache::checksum(bytes).as_bytes(), bytes].concat());
}
