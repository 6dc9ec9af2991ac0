//! A network without CE blocks, written here: it is planned for its convolutions.

use std::path::Path;

use super::rewrite::integers_attribute;
use super::*;
use crate::model::onnx::tensor_proto::{DataLocation, DataType};
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::type_proto::{self, Tensor};
use crate::model::onnx::{
    GraphProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

const CLASSES: usize = 16;

/// Two convolutions with filters of this side and step, and a mean over the picture, which has sides of `length` pixels.
fn network(side: i64, stride: i64, length: i64) -> ModelProto {
    let convolution = |index: usize, x: &str| NodeProto {
        input: vec![x.into(), format!("w{index}")],
        output: vec![format!("y{index}")],
        op_type: Some("Conv".into()),
        attribute: vec![
            integers_attribute("kernel_shape", &[side, side]),
            integers_attribute("pads", &[side / 2; 4]),
            integers_attribute("strides", &[stride, stride]),
        ],
        ..NodeProto::default()
    };
    let node = |operator: &str, x: &str, y: &str| NodeProto {
        input: vec![x.into()],
        output: vec![y.into()],
        op_type: Some(operator.into()),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("plain".into()),
        node: vec![
            convolution(0, "pictures"),
            node("Relu", "y0", "positive"),
            convolution(1, "positive"),
            node("GlobalAveragePool", "y1", "means"),
            node("Flatten", "means", "logits"),
        ],
        initializer: vec![
            filters("w0", [CLASSES as i64, 3, side, side]),
            filters("w1", [CLASSES as i64, 16, side, side]),
        ],
        input: vec![tensor("pictures", &[3, length, length])],
        output: vec![tensor("logits", &[CLASSES as i64])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: Some(9),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn filters(name: &str, dims: [i64; 4]) -> TensorProto {
    let numbers = (0..dims.iter().product()).map(|index: i64| ((index * 37 % 101) as f32 / 50.0 - 1.0) * 0.1);
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::Float as i32),
        dims: dims.to_vec(),
        raw_data: Some(numbers.flat_map(f32::to_le_bytes).collect()),
        ..TensorProto::default()
    }
}

/// A tensor of a batch of any size.
fn tensor(name: &str, lengths: &[i64]) -> ValueInfoProto {
    let batch = dimension::Value::DimParam("batch".into());
    let lengths = std::iter::once(batch).chain(lengths.iter().copied().map(dimension::Value::DimValue));
    let dim = lengths.map(|length| Dimension { value: Some(length), ..Dimension::default() }).collect();
    let tensor = Tensor { elem_type: Some(DataType::Float as i32), shape: Some(TensorShapeProto { dim }) };
    let value_type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(value_type), ..ValueInfoProto::default() }
}

fn written(model: &ModelProto, length: i64, folder: &Path) -> ModelDirectory {
    let path = folder.join("plain/1");
    fs::create_dir_all(&path).expect("a folder");
    fs::write(path.join("model.onnx"), model.encode_to_vec()).expect("written");
    fs::write(path.join("labels.txt"), "a label\n".repeat(CLASSES)).expect("written");
    let manifest = format!(
        "schema_version = 1\ntask = \"classify\"\nlabels = \"labels.txt\"\n\
         [preprocess]\ninput = \"pictures\"\nsize = [{length}, {length}]\nresize = {{ mode = \"shorter_side\", to = {length} }}\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n[head]\nkind = \"scores\"\noutput = \"logits\"\nactivation = \"softmax\"\n"
    );
    fs::write(path.join("model.toml"), manifest).expect("written");
    ModelDirectory::read(&path).expect("a good directory")
}

fn answer(network: &Network, directory: &ModelDirectory) -> Vec<ArrayD<f32>> {
    let mut session =
        network.open_session(&SessionOptions { threads: 2, ..SessionOptions::default() }).expect("it loads");
    let input = known_input(directory, session.signature());
    session.infer(input).expect("it answers")
}

#[test]
fn a_network_without_ce_blocks_is_planned_for_its_convolutions() {
    let sizes = [(3, 1, 20, 1), (3, 2, 20, 0), (3, 2, 40, 1), (1, 1, 20, 0), (1, 2, 20, 0), (7, 2, 40, 1)];
    for (side, stride, length, winograd) in sizes {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = written(&network(side, stride, length), length, folder.path());
        let planned = Network::of(&directory, &PlanOptions::default());
        let expected = Coverage { convolutions: 1, winograd, ..Coverage::default() };
        // of two, the first reads the picture as it is; of 7x7 pixels that is the only one that is ours
        assert_eq!(planned.coverage(), Some(expected), "{side}x{side} pixels: {}", planned.origin());
        let plain = Network::of_file(&directory, "to compare");
        let (expected, actual) = (answer(&plain, &directory), answer(&planned, &directory));
        assert!(is_close(&expected[0], &actual[0], 1e-5), "{expected:?}, {actual:?}");
    }
}

#[test]
fn a_network_with_nothing_to_plan_pays_for_no_plan() {
    for (side, stride) in [(5, 1), (3, 3), (7, 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = written(&network(side, stride, 20), 20, folder.path());
        let network = Network::of(&directory, &PlanOptions::default());
        assert!(matches!(network.origin(), Origin::None(reason) if reason.contains("neither")), "{}", network.origin());
    }
}

#[test]
fn weights_in_other_files_are_not_planned() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = network(3, 1, 20);
    let weights = &mut model.graph.as_mut().expect("a graph").initializer[1];
    let bytes = weights.raw_data.take().expect("numbers");
    weights.data_location = Some(DataLocation::External as i32);
    weights.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some("w1.bin".into()) }];
    fs::create_dir_all(folder.path().join("plain/1")).expect("a folder");
    fs::write(folder.path().join("plain/1/w1.bin"), bytes).expect("written");
    let directory = written(&model, 20, folder.path());
    let network = Network::of(&directory, &PlanOptions::default());
    assert!(matches!(network.origin(), Origin::None(reason) if reason.contains("other files")), "{}", network.origin());
    answer(&network, &directory);
}
