//! How many channels the runtime puts into a block on this machine: asked of the runtime itself.

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use prost::Message;

use super::rewrite::NCHWC_DOMAIN;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::type_proto::{self, Tensor as TensorType};
use crate::model::onnx::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
};
use crate::model::{LoadError, LoadResult, runtime};

/// As many channels as the widest block has, and two pixels of each.
const SHAPE: [i64; 4] = [1, 16, 1, 2];
const INTERFACE_VERSION: i64 = 9;
const OPSET: i64 = 18;

/// Channels a block: puts numbered numbers into the runtime's blocked layout, and looks where the second pixel begins.
///
/// # Errors
/// [`LoadError::Runtime`] when the runtime has no such layout, or one that we don't know.
pub(super) fn block_width() -> LoadResult<usize> {
    let numbers: Vec<f32> = (0..SHAPE.iter().product()).map(|index: i64| index as f32).collect();
    let blocked = reorder(numbers).map_err(|error| LoadError::Runtime(error.message().to_owned()))?;
    let second_pixel = blocked.iter().position(|number| *number == 1.0);
    second_pixel
        .filter(|width| matches!(width, 8 | 16))
        .ok_or_else(|| LoadError::Runtime("its blocked layout is none that we know".into()))
}

fn reorder(numbers: Vec<f32>) -> ort::Result<Vec<f32>> {
    let environment = runtime::environment().map_err(|error| ort::Error::new(error.to_string()))?;
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Disable)?
        .with_intra_threads(1)?;
    let mut session = builder.commit_from_memory(&model().encode_to_vec())?;
    let outputs = session.run(ort::inputs![Tensor::from_array((SHAPE, numbers))?])?;
    Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
}

/// One node, which takes a tensor into the blocked layout.
fn model() -> ModelProto {
    let node = NodeProto {
        input: vec!["x".into()],
        output: vec!["y".into()],
        op_type: Some("ReorderInput".into()),
        domain: Some(NCHWC_DOMAIN.into()),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("layout".into()),
        node: vec![node],
        input: vec![tensor("x")],
        output: vec![tensor("y")],
        ..GraphProto::default()
    };
    let import = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    ModelProto {
        ir_version: Some(INTERFACE_VERSION),
        opset_import: vec![import("", OPSET), import(NCHWC_DOMAIN, 1)],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn tensor(name: &str) -> ValueInfoProto {
    let dimension =
        |length: &i64| Dimension { value: Some(dimension::Value::DimValue(*length)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: SHAPE.iter().map(dimension).collect() };
    let tensor = TensorType { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    let value_type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(value_type), ..ValueInfoProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_tells_its_blocks() {
        let width = block_width().expect("a layout");
        assert!(width == 8 || width == 16, "{width}");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(width == 16, is_x86_feature_detected!("avx512f"));
    }
}
