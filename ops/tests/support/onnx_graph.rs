//! Small ONNX models, written in memory in the protobuf format of onnx.proto: a field is its number and wire type, then
//! its value.

use std::path::Path;
use std::sync::LazyLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

/// The process's one environment, or none, with a line printed, where ONNX Runtime's library isn't.
pub fn environment() -> Option<&'static Environment> {
    static ENVIRONMENT: LazyLock<Option<Environment>> = LazyLock::new(|| {
        let library = std::env::var_os("ORT_DYLIB_PATH").filter(|path| Path::new(path).exists());
        if library.is_none() {
            println!("skipped: ORT_DYLIB_PATH names no ONNX Runtime; `make runtime` fetches it");
            return None;
        }
        Some(ort::init().build().expect("an environment"))
    });
    ENVIRONMENT.as_ref()
}

/// A node's attribute.
#[derive(Debug, Clone)]
pub enum Attribute {
    Float(&'static str, f32),
    Integer(&'static str, i64),
    Integers(&'static str, Vec<i64>),
}

/// A graph in the making. Values are known by their names.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Message,
    nodes: usize,
}

impl Builder {
    /// Adds a constant.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, shape, &data);
    }

    /// Adds a constant of integers along one axis.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INT64, &[values.len()], &data);
    }

    fn tensor(&mut self, name: &str, element_type: i64, shape: &[usize], data: &[u8]) {
        let mut tensor = Message::default();
        shape.iter().for_each(|&length| tensor.integer(1, i64::try_from(length).expect("a small length")));
        tensor.integer(2, element_type);
        tensor.bytes(8, name.as_bytes());
        tensor.bytes(9, data);
        self.graph.bytes(5, &tensor.0);
    }

    /// Adds a node, named after its operator and its place.
    pub fn node(&mut self, operator: &str, domain: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attribute]) {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.bytes(1, input.as_bytes()));
        outputs.iter().for_each(|output| node.bytes(2, output.as_bytes()));
        node.bytes(3, format!("{operator}_{}", self.nodes).as_bytes());
        node.bytes(4, operator.as_bytes());
        attributes.iter().for_each(|attribute| node.bytes(5, &encode_attribute(attribute).0));
        node.bytes(7, domain.as_bytes());
        self.graph.bytes(1, &node.0);
        self.nodes += 1;
    }

    /// A session on the graph. A length of -1 is open; `domains` are opsets beside ONNX's own.
    ///
    /// # Errors
    /// What ONNX Runtime has against the graph.
    pub fn session(
        mut self,
        input: (&str, &[i64]),
        output: (&str, &[i64]),
        domains: &[(&str, i64)],
        builder: &SessionBuilder,
    ) -> ort::Result<Session> {
        self.graph.bytes(2, b"graph");
        self.graph.bytes(11, &encode_value(input.0, input.1).0);
        self.graph.bytes(12, &encode_value(output.0, output.1).0);
        let mut model = Message::default();
        model.integer(1, IR_VERSION);
        model.bytes(7, &self.graph.0);
        for (domain, version) in [("", OPSET)].iter().chain(domains) {
            let mut opset = Message::default();
            opset.bytes(1, domain.as_bytes());
            opset.integer(2, *version);
            model.bytes(8, &opset.0);
        }
        let _alone = ce_op::onnx::session_creation();
        builder.clone().commit_from_memory(&model.0)
    }
}

const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;

// TensorProto.DataType
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// An AttributeProto.
fn encode_attribute(attribute: &Attribute) -> Message {
    let mut message = Message::default();
    let (name, attribute_type) = match attribute {
        Attribute::Float(name, value) => {
            message.float(2, *value);
            (name, 1)
        }
        Attribute::Integer(name, value) => {
            message.integer(3, *value);
            (name, 2)
        }
        Attribute::Integers(name, values) => {
            values.iter().for_each(|&value| message.integer(8, value));
            (name, 7)
        }
    };
    message.bytes(1, name.as_bytes());
    message.integer(20, attribute_type);
    message
}

/// A ValueInfoProto of a float tensor.
fn encode_value(name: &str, shape: &[i64]) -> Message {
    let [mut dimensions, mut tensor, mut value_type, mut value] = [(); 4].map(|()| Message::default());
    for &length in shape {
        let mut dimension = Message::default();
        if length >= 0 {
            dimension.integer(1, length);
        }
        dimensions.bytes(1, &dimension.0);
    }
    tensor.integer(1, FLOAT);
    tensor.bytes(2, &dimensions.0);
    value_type.bytes(1, &tensor.0);
    value.bytes(1, name.as_bytes());
    value.bytes(2, &value_type.0);
    value
}

/// An encoded protobuf message.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u64, value: i64) {
        self.varint(field << 3);
        self.varint(value.cast_unsigned());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
