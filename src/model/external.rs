//! Which other files an ONNX file keeps tensors in, wherever in it the tensors stand; found without reading the tensors.

use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

use prost::Message as _;

use super::onnx::StringStringEntryProto;
use super::wire::Wire;

/// Graphs lie within nodes of graphs; deeper than this no exporter puts them.
const MAX_DEPTH: usize = 64;
/// Bytes of an entry that names a place.
const MAX_ENTRY_BYTES: u64 = 1 << 14;

/// Where a tensor lies that isn't in the ONNX file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// A path, as the file has it.
    pub(super) location: String,
    /// Its first byte.
    pub(super) offset: u64,
    /// Its bytes, where the file tells.
    pub(super) length: Option<u64>,
}

/// The messages on the way to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// What its field `number` holds, if that leads to tensors.
    fn part(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// `TensorProto.external_data`.
const EXTERNAL_DATA: u64 = 13;

/// The tensors outside of the ONNX file at `path`.
///
/// # Errors
/// When it can't be read or is no ONNX file.
pub(super) fn elsewhere(path: &Path) -> io::Result<Vec<Elsewhere>> {
    elsewhere_of(Wire::open(path)?)
}

/// The same of a model's message.
pub(super) fn elsewhere_of(mut file: Wire<impl Read + Seek>) -> io::Result<Vec<Elsewhere>> {
    let mut found = Vec::new();
    let end = file.end();
    collect(&mut file, Message::Model, end, MAX_DEPTH, &mut found)?;
    Ok(found)
}

fn collect(
    file: &mut Wire<impl Read + Seek>,
    message: Message,
    end: u64,
    depth: usize,
    found: &mut Vec<Elsewhere>,
) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or(ErrorKind::InvalidData)?;
    let mut entries = Vec::new();
    while let Some(field) = file.next(end)? {
        if (message, field.number) == (Message::Tensor, EXTERNAL_DATA) && field.length <= MAX_ENTRY_BYTES {
            let entry = StringStringEntryProto::decode(file.bytes(field.length)?.as_slice());
            entries.push(entry.map_err(|_| ErrorKind::InvalidData)?);
        } else if (message, field.number) == (Message::Tensor, EXTERNAL_DATA) {
            return Err(ErrorKind::InvalidData.into());
        } else if let Some(part) = message.part(field.number) {
            collect(file, part, file.end_of(field), depth, found)?;
        } else {
            file.skip(field.length)?;
        }
    }
    if !entries.is_empty() {
        found.extend(places(&entries)?);
    }
    Ok(())
}

/// What a tensor's entries say. Where they name several places, whoever reads the file may take any.
fn places(entries: &[StringStringEntryProto]) -> io::Result<Vec<Elsewhere>> {
    let values =
        |key: &'static str| entries.iter().filter(move |entry| entry.key() == key).map(StringStringEntryProto::value);
    let number = |text: &str| text.parse::<u64>().map_err(|_| io::Error::from(ErrorKind::InvalidData));
    let offset = values("offset").map(number).max_by_key(|number| number.as_ref().ok().copied()).transpose()?;
    let length = values("length").map(number).max_by_key(|number| number.as_ref().ok().copied()).transpose()?;
    let place = |location: &str| Elsewhere { location: location.into(), offset: offset.unwrap_or(0), length };
    Ok(values("location").map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::attribute_proto::AttributeType;
    use crate::model::onnx::{
        AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto,
    };

    fn tensor(location: &str) -> TensorProto {
        let entry =
            |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        let external_data = vec![entry("location", location), entry("offset", "64"), entry("length", "8")];
        TensorProto { dims: vec![2], raw_data: Some(vec![0; 8]), external_data, ..TensorProto::default() }
    }

    fn node(attribute: AttributeProto) -> NodeProto {
        NodeProto { attribute: vec![attribute], ..NodeProto::default() }
    }

    fn graph(name: &str) -> GraphProto {
        GraphProto { initializer: vec![tensor(name)], ..GraphProto::default() }
    }

    fn found(model: &ModelProto) -> io::Result<Vec<String>> {
        let (bytes, mut found) = (model.encode_to_vec(), Vec::new());
        let mut wire = Wire::of(&bytes);
        collect(&mut wire, Message::Model, bytes.len() as u64, MAX_DEPTH, &mut found)?;
        assert!(found.iter().all(|place| (place.offset, place.length) == (64, Some(8))));
        Ok(found.into_iter().map(|place| place.location).collect())
    }

    #[test]
    fn tensors_are_found_wherever_they_stand() {
        let attribute = |attribute: AttributeProto| AttributeProto { name: Some("a".into()), ..attribute };
        let sparse = |name: &str| SparseTensorProto {
            values: Some(tensor(name)),
            indices: Some(tensor("indices")),
            dims: vec![9],
        };
        let attributes = [
            AttributeProto { t: Some(tensor("t")), ..AttributeProto::default() },
            AttributeProto { tensors: vec![tensor("tensors")], ..AttributeProto::default() },
            AttributeProto {
                g: Some(graph("g")),
                r#type: Some(AttributeType::Graph as i32),
                ..AttributeProto::default()
            },
            AttributeProto { graphs: vec![graph("graphs")], ..AttributeProto::default() },
            AttributeProto { sparse_tensor: Some(sparse("sparse")), ..AttributeProto::default() },
        ];
        let graph = GraphProto {
            node: attributes.map(|one| node(attribute(one))).into(),
            initializer: vec![tensor("initializer")],
            sparse_initializer: vec![sparse("sparse initializer")],
            ..GraphProto::default()
        };
        let function = FunctionProto {
            node: vec![node(AttributeProto { t: Some(tensor("f")), ..AttributeProto::default() })],
            ..FunctionProto::default()
        };
        let model = ModelProto { graph: Some(graph), functions: vec![function], ..ModelProto::default() };
        let mut names = found(&model).expect("a model");
        names.sort();
        let expected =
            ["f", "g", "graphs", "indices", "indices", "initializer", "sparse", "sparse initializer", "t", "tensors"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_deeper_than_any_network_is_refused() {
        let mut inner = graph("deep");
        for _ in 0..MAX_DEPTH {
            inner = GraphProto {
                node: vec![node(AttributeProto { g: Some(inner), ..AttributeProto::default() })],
                ..GraphProto::default()
            };
        }
        let model = ModelProto { graph: Some(inner), ..ModelProto::default() };
        assert_eq!(found(&model).expect_err("too deep").kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn places_that_are_no_numbers_are_refused() {
        let mut tensor = tensor("weights");
        tensor.external_data[1].value = Some("-8".into());
        let graph = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
        assert!(found(&ModelProto { graph: Some(graph), ..ModelProto::default() }).is_err());
    }
}
