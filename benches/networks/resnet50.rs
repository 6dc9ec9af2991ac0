//! ResNet-50 and CE-ResNet-50 as model directories, with drawn weights: what a network costs doesn't depend on what it has learned.
//!
//! Batch normalisation is folded into the convolutions, as exporters do it. CE blocks are where the authors' `resnetv1ce50` has
//! them: after the stem (one group of 64 channels), and before the residual add of every block of the first three stages (groups of 16).

use std::fs;
use std::path::Path;

use prost::Message;

use crate::graph::{Graph, float, integer, integers};
use crate::onnx::{FunctionProto, ModelProto};

/// Side of the pictures.
pub(crate) const SIDE: usize = 224;
const CLASSES: i64 = 1000;
/// Bottlenecks of each stage.
const STAGES: [usize; 4] = [3, 4, 6, 3];
/// A shipped network, for the operator's body in standard operators.
const WITH_BODY: &str = "models/ce_resnet_caltech101/1/model.onnx";

/// Writes the model directory of one of the two.
pub(crate) fn write(directory: &Path, with_ce: bool) {
    fs::create_dir_all(directory).expect("a folder");
    let model = resnet50(with_ce);
    fs::write(directory.join("model.onnx"), model.encode_to_vec()).expect("written");
    let labels: String = (0..CLASSES).map(|index| format!("class {index}\n")).collect();
    fs::write(directory.join("labels.txt"), labels).expect("written");
    let manifest = format!(
        "schema_version = 1\ntask = \"classify\"\nlabels = \"labels.txt\"\n\
         [preprocess]\ninput = \"input\"\nsize = [{SIDE}, {SIDE}]\nresize = {{ mode = \"shorter_side\", to = 256 }}\n\
         mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n\
         [head]\nkind = \"scores\"\noutput = \"logits\"\nactivation = \"softmax\"\n"
    );
    fs::write(directory.join("model.toml"), manifest).expect("written");
}

fn resnet50(with_ce: bool) -> ModelProto {
    let mut graph = Graph::new("input", &[3, SIDE as i64, SIDE as i64]);
    let mut x = convolution(&mut graph, "input", [3, 64], 7, 2);
    if with_ce {
        x = equilibrium(&mut graph, &x, 64, 64);
    }
    x = graph.node("", "Relu", &[&x], vec![]);
    let window = vec![integers("kernel_shape", &[3, 3]), integers("strides", &[2, 2]), integers("pads", &[1; 4])];
    x = graph.node("", "MaxPool", &[&x], window);
    let mut inputs = 64;
    for (stage, depth) in STAGES.into_iter().enumerate() {
        for block in 0..depth {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = bottleneck(&mut graph, &x, [inputs, 64 << stage], stride, with_ce && stage < 3);
            inputs = (64 << stage) * 4;
        }
    }
    x = graph.node("", "GlobalAveragePool", &[&x], vec![]);
    x = graph.node("", "Flatten", &[&x], vec![]);
    let weight = graph.constant(&[CLASSES, inputs], 0.0, 0.02);
    let bias = graph.constant(&[CLASSES], 0.0, 0.02);
    graph.node("", "Gemm", &[&x, &weight, &bias], vec![integer("transB", 1)]);
    graph.model("logits", &[CLASSES], if with_ce { operator_body() } else { vec![] })
}

fn bottleneck(graph: &mut Graph, x: &str, [inputs, width]: [i64; 2], stride: i64, with_ce: bool) -> String {
    let outputs = width * 4;
    let shortcut = if inputs == outputs { x.to_owned() } else { convolution(graph, x, [inputs, outputs], 1, stride) };
    let mut y = convolution(graph, x, [inputs, width], 1, 1);
    y = graph.node("", "Relu", &[&y], vec![]);
    y = convolution(graph, &y, [width, width], 3, stride);
    y = graph.node("", "Relu", &[&y], vec![]);
    y = convolution(graph, &y, [width, outputs], 1, 1);
    if with_ce {
        y = equilibrium(graph, &y, outputs, 16);
    }
    y = graph.node("", "Add", &[&y, &shortcut], vec![]);
    graph.node("", "Relu", &[&y], vec![])
}

/// Weights by He, halved where nothing normalises: what comes out is about as large as what goes in.
fn convolution(graph: &mut Graph, x: &str, [inputs, outputs]: [i64; 2], kernel: i64, stride: i64) -> String {
    let deviation = (1.0 / (inputs * kernel * kernel) as f32).sqrt();
    let weight = graph.constant(&[outputs, inputs, kernel, kernel], 0.0, deviation);
    let bias = graph.constant(&[outputs], 0.0, 0.1);
    let attributes = vec![
        integers("kernel_shape", &[kernel, kernel]),
        integers("strides", &[stride, stride]),
        integers("pads", &[kernel / 2; 4]),
    ];
    graph.node("", "Conv", &[x, &weight, &bias], attributes)
}

fn equilibrium(graph: &mut Graph, x: &str, channels: i64, width: i64) -> String {
    let (groups, hidden) = (channels / width, channels / 4);
    let whitening = graph.constant(&[groups, width, width], 0.0, 0.5 / (width as f32).sqrt());
    let fc1 = graph.constant(&[hidden, channels], 0.0, (1.0 / channels as f32).sqrt());
    let scale = graph.constant(&[hidden], 1.0, 0.1);
    let bias = graph.constant(&[hidden], 0.0, 0.1);
    let fc2 = graph.constant(&[channels, hidden], 0.0, (1.0 / hidden as f32).sqrt());
    let attributes = vec![float("gate_scale", 0.7), float("epsilon", 1e-5)];
    graph.node("ai.cenet", "ChannelEquilibrium", &[x, &whitening, &fc1, &scale, &bias, &fc2], attributes)
}

fn operator_body() -> Vec<FunctionProto> {
    let bytes = fs::read(WITH_BODY).expect("the shipped network is there");
    ModelProto::decode(bytes.as_slice()).expect("an ONNX file").functions
}
