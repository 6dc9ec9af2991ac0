//! Graphs made of the nodes that the rewriting knows, in any order, with sound values: all but that anything reads anything.

use arbitrary::{Result, Unstructured};
use cenet_serve::model::fuzz::attribute_proto::AttributeType;
use cenet_serve::model::fuzz::tensor_proto::DataType;
use cenet_serve::model::fuzz::tensor_shape_proto::{Dimension, dimension};
use cenet_serve::model::fuzz::type_proto::{Tensor, Value};
use cenet_serve::model::fuzz::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

/// What a CE node takes beside its input, and one of other channels.
const CONSTANTS: [(&str, &[i64]); 6] =
    [("w", &[2, 16, 16]), ("fc1", &[8, 32]), ("s", &[8]), ("b", &[8]), ("fc2", &[32, 8]), ("w64", &[4, 16, 16])];
const SCALE: &str = "scale";
const ZERO: &str = "zero";
const MOST_NODES: usize = 24;

/// A model of up to a few dozen nodes.
pub(crate) fn model(u: &mut Unstructured<'_>) -> Result<ModelProto> {
    let mut values = vec!["input".to_owned()];
    let mut nodes = Vec::new();
    while nodes.len() < MOST_NODES && !u.is_empty() {
        let node = node(u, &values, nodes.len())?;
        values.extend(node.output.iter().cloned());
        nodes.push(node);
    }
    let mut outputs = vec![values.last().cloned().unwrap_or_default()];
    if u.arbitrary()? {
        outputs.push(pick(u, &values)?);
    }
    outputs.dedup();
    let described = values.iter().filter(|_| u.ratio(2, 3).unwrap_or(true)).map(|name| value(name)).collect();
    let graph = GraphProto {
        node: nodes,
        initializer: constants(),
        input: vec![value("input")],
        output: outputs.iter().map(|name| value(name)).collect(),
        value_info: described,
        ..GraphProto::default()
    };
    Ok(ModelProto { graph: Some(graph), ..ModelProto::default() })
}

fn node(u: &mut Unstructured<'_>, values: &[String], number: usize) -> Result<NodeProto> {
    let mut node = NodeProto { output: vec![format!("v{number}")], ..NodeProto::default() };
    let x = pick(u, values)?;
    let (domain, operator, input) = match u.int_in_range(0..=10)? {
        0..=2 => ("ai.cenet", "ChannelEquilibrium", block_inputs(u, x)?),
        3 => ("com.microsoft.nchwc", "ReorderOutput", vec![x]),
        4 => ("com.microsoft.nchwc", "ReorderInput", vec![x]),
        5 => ("com.microsoft.nchwc", "Conv", vec![x]),
        6 => ("", "Add", vec![x, pick(u, values)?]),
        7 => ("", "Relu", vec![x]),
        8 => ("", "QuantizeLinear", vec![x, SCALE.into(), ZERO.into()]),
        9 => ("", "DequantizeLinear", vec![x, SCALE.into(), ZERO.into()]),
        _ => {
            node.attribute.push(body(u, values, number)?);
            ("", "If", vec![x])
        }
    };
    if operator == "ReorderOutput" {
        node.attribute.push(integer("channels", *u.choose(&[32, 32, 32, 64])?));
    }
    if u.ratio(1, 20)? {
        node.attribute.push(integer("channels_last", 1));
    }
    (node.domain, node.op_type, node.input) = (Some(domain.into()), Some(operator.into()), input);
    Ok(node)
}

fn block_inputs(u: &mut Unstructured<'_>, x: String) -> Result<Vec<String>> {
    let whitening = if u.ratio(1, 8)? { "w64" } else { "w" };
    let mut inputs: Vec<String> = [&x, whitening, "fc1", "s", "b", "fc2"].map(str::to_owned).to_vec();
    if u.ratio(1, 16)? {
        // computed, not a constant
        inputs[1] = x;
    }
    Ok(inputs)
}

/// A graph within a node that reads a value from outside.
fn body(u: &mut Unstructured<'_>, values: &[String], number: usize) -> Result<AttributeProto> {
    let inner = format!("inner{number}");
    let node = NodeProto {
        input: vec![pick(u, values)?],
        output: vec![inner.clone()],
        op_type: Some("Relu".into()),
        ..NodeProto::default()
    };
    let graph = GraphProto { node: vec![node], output: vec![value(&inner)], ..GraphProto::default() };
    let (name, r#type) = (Some("then_branch".into()), Some(AttributeType::Graph as i32));
    Ok(AttributeProto { name, r#type, g: Some(graph), ..AttributeProto::default() })
}

fn pick(u: &mut Unstructured<'_>, values: &[String]) -> Result<String> {
    // mostly what came last, so that nodes make chains
    let back = if u.ratio(3, 4)? { u.int_in_range(0..=1)? } else { u.choose_index(values.len())? };
    Ok(values[values.len() - 1 - back.min(values.len() - 1)].clone())
}

fn constants() -> Vec<TensorProto> {
    let mut tensors: Vec<_> = CONSTANTS
        .map(|(name, dims)| TensorProto { name: Some(name.into()), dims: dims.into(), ..TensorProto::default() })
        .to_vec();
    let scale = (SCALE, DataType::Float, 0.5_f32.to_le_bytes().to_vec());
    let zero = (ZERO, DataType::Uint8, vec![3]);
    tensors.extend([scale, zero].map(|(name, data_type, data)| TensorProto {
        name: Some(name.into()),
        data_type: Some(data_type as i32),
        raw_data: Some(data.into()),
        ..TensorProto::default()
    }));
    tensors
}

fn integer(name: &str, number: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Int as i32));
    AttributeProto { name, r#type, i: Some(number), ..AttributeProto::default() }
}

fn value(name: &str) -> ValueInfoProto {
    let length = |length| Dimension { value: Some(dimension::Value::DimValue(length)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: [1, 32, 7, 7].map(length).to_vec() };
    let tensor = Tensor { shape: Some(shape), ..Tensor::default() };
    let r#type = Some(TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
}
