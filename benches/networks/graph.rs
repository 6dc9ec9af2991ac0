//! Builds an ONNX graph of float tensors, node by node, with weights drawn from a seed.

use crate::onnx::attribute_proto::AttributeType;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::type_proto::{self, Tensor};
use crate::onnx::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

const INTERFACE_VERSION: i64 = 10;
const OPSET: i64 = 18;

/// A graph that grows; values are named by numbers.
pub(crate) struct Graph {
    graph: GraphProto,
    state: u64,
}

impl Graph {
    /// An empty graph with `input`, a batch of any size.
    pub(crate) fn new(input: &str, shape: &[i64]) -> Self {
        let graph =
            GraphProto { name: Some("bench".into()), input: vec![tensor(input, shape)], ..GraphProto::default() };
        Self { graph, state: 1 }
    }

    /// Uniform in -1..1, xorshift64*.
    fn uniform(&mut self) -> f32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// A constant around `centre` of this standard deviation; its name.
    pub(crate) fn constant(&mut self, shape: &[i64], centre: f32, deviation: f32) -> String {
        let len = shape.iter().product::<i64>() as usize;
        let numbers: Vec<f32> = (0..len).map(|_| centre + deviation * 3_f32.sqrt() * self.uniform()).collect();
        self.constant_of(shape, &numbers)
    }

    /// A constant of these numbers; its name.
    pub(crate) fn constant_of(&mut self, shape: &[i64], numbers: &[f32]) -> String {
        let name = format!("constant_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            dims: shape.to_vec(),
            data_type: Some(DataType::Float as i32),
            name: Some(name.clone()),
            raw_data: Some(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
            ..TensorProto::default()
        });
        name
    }

    /// Adds a node; the name of its output.
    pub(crate) fn node(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = format!("value_{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.clone()],
            name: Some(format!("{operator}_{}", self.graph.node.len())),
            op_type: Some(operator.into()),
            domain: Some(domain.into()),
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    /// The graph whose last node gives `output`, with the operators of `functions` beside it.
    pub(crate) fn model(mut self, output: &str, shape: &[i64], functions: Vec<FunctionProto>) -> ModelProto {
        if let Some(last) = self.graph.node.last_mut() {
            last.output = vec![output.into()];
        }
        self.graph.output.push(tensor(output, shape));
        let import = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
        let mut opset_import = vec![import("", OPSET)];
        opset_import.extend(functions.iter().map(|function| import(function.domain(), 1)));
        ModelProto {
            ir_version: Some(INTERFACE_VERSION),
            opset_import,
            graph: Some(self.graph),
            functions,
            ..ModelProto::default()
        }
    }
}

pub(crate) fn integers(name: &str, values: &[i64]) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Ints as i32));
    AttributeProto { name, r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub(crate) fn integer(name: &str, value: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Int as i32));
    AttributeProto { name, r#type, i: Some(value), ..AttributeProto::default() }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::Float as i32));
    AttributeProto { name, r#type, f: Some(value), ..AttributeProto::default() }
}

/// A float tensor; its first length is the batch's.
fn tensor(name: &str, shape: &[i64]) -> ValueInfoProto {
    let fixed = |length: &i64| Dimension { value: Some(dimension::Value::DimValue(*length)), ..Dimension::default() };
    let batch = Dimension { value: Some(dimension::Value::DimParam("batch".into())), ..Dimension::default() };
    let dim = std::iter::once(batch).chain(shape.iter().map(fixed)).collect();
    let tensor = Tensor { elem_type: Some(DataType::Float as i32), shape: Some(TensorShapeProto { dim }) };
    let value_type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(value_type), ..ValueInfoProto::default() }
}
