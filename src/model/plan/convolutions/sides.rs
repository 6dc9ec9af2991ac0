//! How large the pictures are that a graph's convolutions read and make, as far as its nodes tell.

use std::collections::HashMap;

use ce_op::onnx::BLOCKED_DOMAIN;

use super::integers;
use crate::model::onnx::tensor_shape_proto::dimension::Value;
use crate::model::onnx::{GraphProto, NodeProto, ValueInfoProto, type_proto};
use crate::model::plan::rewrite::NCHWC_DOMAIN;

/// What leaves height and width of its first input as they are.
const KEEPING: [&str; 8] = ["Add", "BatchNormalization", "Clip", "HardSwish", "Mul", "Relu", "Sigmoid", "Sum"];

/// Height and width of the values of `graph` that are known, by name; its nodes lie in the order in which they run.
pub(super) fn sides(graph: &GraphProto) -> HashMap<&str, [usize; 2]> {
    let mut sides: HashMap<_, _> =
        graph.input.iter().filter_map(|input| Some((input.name(), of_input(input)?))).collect();
    for node in &graph.node {
        let of_first = node.input.first().and_then(|name| sides.get(name.as_str()).copied());
        if let (Some(output), Some(after)) = (node.output.first(), of_first.and_then(|before| after(node, before))) {
            sides.insert(output, after);
        }
    }
    sides
}

/// A picture's height and width, of an input with four axes.
fn of_input(input: &ValueInfoProto) -> Option<[usize; 2]> {
    let Some(type_proto::Value::TensorType(tensor)) = &input.r#type.as_ref()?.value else { return None };
    let [_, _, height, width] = &tensor.shape.as_ref()?.dim[..] else { return None };
    let length = |value: &Option<Value>| match value {
        Some(Value::DimValue(length)) => usize::try_from(*length).ok(),
        _ => None,
    };
    Some([length(&height.value)?, length(&width.value)?])
}

/// Height and width of a node's first output.
fn after(node: &NodeProto, before: [usize; 2]) -> Option<[usize; 2]> {
    match (node.domain(), node.op_type()) {
        (NCHWC_DOMAIN, "Conv" | "MaxPool" | "AveragePool") => slid(node, before),
        (NCHWC_DOMAIN, "ReorderInput" | "ReorderOutput") | (BLOCKED_DOMAIN, _) => Some(before),
        ("", name) if KEEPING.contains(&name) => Some(before),
        _ => None,
    }
}

/// What a window leaves that slides over pictures.
fn slid(node: &NodeProto, before: [usize; 2]) -> Option<[usize; 2]> {
    let lengths = |name, default: i64, count| {
        let given = integers(node, name);
        if given.is_empty() { vec![default; count] } else { given }
    };
    let (kernel, pads) = (integers(node, "kernel_shape"), lengths("pads", 0, 4));
    let (strides, dilations) = (lengths("strides", 1, 2), lengths("dilations", 1, 2));
    let along = |axis: usize| {
        let length = i64::try_from(before[axis]).ok()?;
        let padded = length.checked_add(*pads.get(axis)?)?.checked_add(*pads.get(axis + 2)?)?;
        let reach = dilations.get(axis)?.checked_mul(kernel.get(axis)?.checked_sub(1)?)?;
        usize::try_from(padded.checked_sub(reach)?.checked_sub(1)?.checked_div(*strides.get(axis)?)?.checked_add(1)?)
            .ok()
    };
    Some([along(0)?, along(1)?])
}
