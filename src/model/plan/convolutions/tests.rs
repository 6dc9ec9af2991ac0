//! Convolutions as the runtime leaves them, and what becomes of them.

use ce_op::onnx::{BLOCK_ATTRIBUTE, BLOCKED_NAME, CONVOLUTION_NAME, CONVOLVED_NAME, RANGE_ATTRIBUTE, STRIDE_ATTRIBUTE};

use super::super::rewrite::{floats_attribute, integer_attribute, integers_attribute};
use super::*;
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

const BLOCK: usize = 8;

/// A convolution of `x` with the filters `w`, to be changed.
fn convolution() -> NodeProto {
    let text = |name: &str, value: &str| AttributeProto {
        name: Some(name.into()),
        s: Some(value.as_bytes().to_vec()),
        ..AttributeProto::default()
    };
    NodeProto {
        input: ["x", "w", "b"].map(str::to_owned).to_vec(),
        output: vec!["y".into()],
        op_type: Some("Conv".into()),
        domain: Some(NCHWC_DOMAIN.into()),
        attribute: vec![
            integers_attribute("pads", &[1, 1, 1, 1]),
            integers_attribute("strides", &[1, 1]),
            integers_attribute("dilations", &[1, 1]),
            integer_attribute("group", 1),
            text("auto_pad", "NOTSET"),
            text("activation", "Relu"),
        ],
        ..NodeProto::default()
    }
}

fn model(nodes: Vec<NodeProto>) -> ModelProto {
    let zeros = |name: &str, dims: &[usize]| tensor(name, dims, &vec![0.0; dims.iter().product()]);
    let initializer = vec![
        zeros("w", &[16, 8, 3, 3]),
        zeros("b", &[16]),
        zeros("large", &[256, 128, 3, 3]),
        zeros("largest", &[512, 256, 3, 3]),
        zeros("pointwise", &[16, 8, 1, 1]),
        zeros("of a picture", &[16, 3, 3, 3]),
        zeros("stem", &[16, 3, 7, 7]),
        zeros("7x7", &[16, 8, 7, 7]),
    ];
    let graph = GraphProto { node: nodes, initializer, ..GraphProto::default() };
    ModelProto { graph: Some(graph), ..ModelProto::default() }
}

fn rewritten(nodes: Vec<NodeProto>) -> (Coverage, GraphProto) {
    let (mut model, mut coverage) = (model(nodes), Coverage::default());
    rewrite(&mut model, BLOCK, &mut coverage);
    let imported = usize::from(coverage.convolutions > 0);
    assert_eq!(model.opset_import.len(), imported, "the domain is imported where it is used");
    (coverage, model.graph.expect("a graph"))
}

/// So many of ours, all of them Winograd's.
fn winograds(count: usize) -> Coverage {
    Coverage { convolutions: count, winograd: count, ..Coverage::default() }
}

fn changed(change: impl FnOnce(&mut NodeProto)) -> NodeProto {
    let mut node = convolution();
    change(&mut node);
    node
}

fn range(node: &NodeProto) -> &[f32] {
    &attribute(node, RANGE_ATTRIBUTE).expect("a range").floats
}

/// A convolution with a clip to these numbers in it.
fn clipped(floats: &[f32]) -> NodeProto {
    changed(|node| {
        node.attribute[5].s = Some(b"Clip".to_vec());
        node.attribute.push(floats_attribute("activation_params", floats));
    })
}

#[test]
fn a_clip_is_taken_along() {
    let (coverage, graph) = rewritten(vec![clipped(&[0.0, 6.0])]);
    assert_eq!(coverage, winograds(1));
    assert_eq!(range(&graph.node[0]), [0.0, 6.0]);
}

fn lengths<'g>(graph: &'g GraphProto, name: &str) -> &'g [i64] {
    &graph.initializer.iter().find(|tensor| tensor.name() == name).expect(name).dims
}

#[test]
fn a_convolution_that_fits_is_ours() {
    let added = changed(|node| node.input.push("added".into()));
    let (coverage, graph) = rewritten(vec![added]);
    assert_eq!(coverage, winograds(1));
    let node = &graph.node[0];
    assert!(is(node, BLOCKED_DOMAIN, CONVOLUTION_NAME));
    assert_eq!(node.input, ["x", "ai.cenet.cpu/w for Four", "b", "added"]);
    let attributes = [BLOCK_ATTRIBUTE, STRIDE_ATTRIBUTE].map(|name| integer(node, name));
    assert_eq!(attributes, [Some(8), Some(1)]);
    assert_eq!(range(node), RELU);
    assert_eq!(integers(node, "pads"), [1; 4]);
    assert_eq!(lengths(&graph, "ai.cenet.cpu/w for Four"), [16, 8, 6, 6]);
    assert!(!graph.initializer.iter().any(|tensor| tensor.name() == "w"), "nobody reads the old filters");
}

#[test]
fn filters_that_several_share_are_transformed_once() {
    let other = changed(|node| node.output = vec!["z".into()]);
    let without_bias = changed(|node| {
        node.input.truncate(2);
        node.attribute.clear();
    });
    let plain = changed(|node| node.attribute = vec![integers_attribute("strides", &[3, 3])]);
    let (coverage, graph) = rewritten(vec![convolution(), other, without_bias, plain]);
    assert_eq!(coverage, winograds(3));
    let names: Vec<_> = graph.initializer.iter().map(TensorProto::name).collect();
    assert_eq!(
        names,
        ["w", "b", "ai.cenet.cpu/no bias of 16", "ai.cenet.cpu/w for Four"],
        "one still reads the old filters"
    );
    assert_eq!(integers(&graph.node[2], "pads"), [0; 4]);
    assert_eq!(range(&graph.node[2]), UNBOUNDED);
}

#[test]
fn the_tile_is_chosen_by_filter_stride_and_channels() {
    let pads = |filters: &str| match filters {
        "pointwise" => [0; 4],
        "stem" => [3; 4],
        _ => [1; 4],
    };
    let cases = [
        ("w", 1, [16, 8, 6, 6]),
        ("w", 2, [16, 8, 5, 5]),
        ("large", 1, [256, 128, 5, 5]),
        ("large", 2, [256, 128, 5, 5]),
        ("largest", 1, [512, 256, 4, 4]),
        ("largest", 2, [512, 256, 3, 3]),
        ("pointwise", 1, [16, 8, 1, 1]),
        ("pointwise", 2, [16, 8, 1, 1]),
        ("stem", 2, [16, 4 * 3, 7, 7]),
    ];
    for (filters, stride, expected) in cases {
        let (coverage, graph) = rewritten(vec![changed(|node| {
            node.input = ["x", filters].map(str::to_owned).to_vec();
            node.attribute[0] = integers_attribute("pads", &pads(filters));
            node.attribute[1] = integers_attribute("strides", &[stride; 2]);
        })]);
        let winograd = usize::from(expected[2] > 3);
        assert_eq!(coverage, Coverage { convolutions: 1, winograd, ..Coverage::default() });
        assert_eq!(lengths(&graph, &graph.node[0].input[1]), expected, "{filters} at strides of {stride}");
        assert_eq!(integer(&graph.node[0], STRIDE_ATTRIBUTE), Some(stride));
    }
}

/// The graph's input `x`: a batch of pictures of these sides.
fn input([height, width]: [i64; 2]) -> ValueInfoProto {
    let length = |value| Dimension { value: Some(value), ..Dimension::default() };
    let batch = length(dimension::Value::DimParam("batch".into()));
    let dim = [8, height, width].map(|value| length(dimension::Value::DimValue(value)));
    let shape = Some(TensorShapeProto { dim: [batch].into_iter().chain(dim).collect() });
    let tensor = type_proto::Tensor { shape, ..type_proto::Tensor::default() };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some("x".into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

#[test]
fn of_small_pictures_the_tile_is_one_whose_filters_are_soon_read() {
    let cases = [
        ("w", 1, [4, 4], 4),
        ("w", 1, [7, 7], 4),
        ("w", 1, [28, 20], 6),
        ("w", 1, [1 << 61, 1 << 61], 6),
        ("large", 1, [4, 4], 4),
        ("large", 1, [14, 14], 5),
        ("large", 2, [14, 14], 3),
        ("large", 2, [28, 28], 5),
    ];
    for (filters, stride, sides, expected) in cases {
        let node = changed(|node| {
            node.input = ["x", filters].map(str::to_owned).to_vec();
            node.attribute[1] = integers_attribute("strides", &[stride; 2]);
            node.attribute.push(integers_attribute("kernel_shape", &[3, 3]));
        });
        let mut model = model(vec![node]);
        model.graph.as_mut().expect("a graph").input.push(input(sides));
        rewrite(&mut model, BLOCK, &mut Coverage::default());
        let graph = model.graph.expect("a graph");
        let side = lengths(&graph, &graph.node[0].input[1])[2];
        assert_eq!(side, expected, "{filters} at strides of {stride}, {sides:?}");
    }
}

#[test]
fn filters_for_pictures_of_several_sizes_are_transformed_once() {
    let reading = |input: &str, output: &str, stride: i64| {
        changed(|node| {
            node.input = [input, "w"].map(str::to_owned).to_vec();
            node.output = vec![output.into()];
            node.attribute[1] = integers_attribute("strides", &[stride; 2]);
            node.attribute.push(integers_attribute("kernel_shape", &[3, 3]));
        })
    };
    let mut model = model(vec![reading("x", "y", 1), reading("x", "halved", 2), reading("halved", "z", 1)]);
    // alone, the second would take a smaller tile
    model.graph.as_mut().expect("a graph").input.push(input([20, 20]));
    rewrite(&mut model, BLOCK, &mut Coverage::default());
    let graph = model.graph.expect("a graph");
    let filters: Vec<_> = graph.node.iter().map(|node| node.input[1].as_str()).collect();
    assert_eq!(filters, ["w for Four", "w for StridedTwo", "w for Four"].map(|name| format!("ai.cenet.cpu/{name}")));
}

#[test]
fn sides_are_known_as_far_as_the_nodes_tell() {
    let node = |domain: &str, operator: &str, input: &str, output: &str, attribute: Vec<AttributeProto>| NodeProto {
        input: vec![input.into()],
        output: vec![output.into()],
        op_type: Some(operator.into()),
        domain: Some(domain.into()),
        attribute,
        ..NodeProto::default()
    };
    let window = |kernel: i64, pads: &[i64], strides: &[i64]| {
        vec![
            integers_attribute("kernel_shape", &[kernel; 2]),
            integers_attribute("pads", pads),
            integers_attribute("strides", strides),
        ]
    };
    let nodes = vec![
        node(NCHWC_DOMAIN, "Conv", "x", "halved", window(7, &[3; 4], &[2, 2])),
        node(NCHWC_DOMAIN, "MaxPool", "halved", "pooled", window(3, &[1, 0, 1, 0], &[2, 1])),
        node(BLOCKED_DOMAIN, BLOCKED_NAME, "pooled", "mixed", Vec::new()),
        node("", "Relu", "mixed", "kept", Vec::new()),
        node("", "Resize", "kept", "resized", Vec::new()),
        node("", "Relu", "resized", "unknown", Vec::new()),
        node(NCHWC_DOMAIN, "Conv", "kept", "broken", window(3, &[1], &[1, 1])),
        node(NCHWC_DOMAIN, "Conv", "kept", "still", window(3, &[0; 4], &[0, 0])),
        node(NCHWC_DOMAIN, "Conv", "kept", "beyond", window(300, &[0; 4], &[1, 1])),
    ];
    let graph = GraphProto { node: nodes, input: vec![input([224, 100])], ..GraphProto::default() };
    let sides = sides::sides(&graph);
    let known =
        [("x", [224, 100]), ("halved", [112, 50]), ("pooled", [56, 48]), ("mixed", [56, 48]), ("kept", [56, 48])];
    assert_eq!(sides, HashMap::from(known));
}

/// A CE block of the result of a convolution, with the addend "x".
fn block_of(convolved: &str) -> NodeProto {
    NodeProto {
        input: [convolved, "p1", "p2", "p3", "p4", "p5", "x"].map(str::to_owned).to_vec(),
        output: vec!["mixed".into()],
        op_type: Some(BLOCKED_NAME.into()),
        domain: Some(BLOCKED_DOMAIN.into()),
        ..NodeProto::default()
    }
}

/// A 1x1 convolution without anything in it, to be changed.
fn pointwise(change: impl FnOnce(&mut NodeProto)) -> NodeProto {
    changed(|node| {
        node.input = ["x", "pointwise"].map(str::to_owned).to_vec();
        node.attribute.clear();
        change(node);
    })
}

#[test]
fn a_1x1_convolution_before_a_block_becomes_part_of_it() {
    let (coverage, graph) = rewritten(vec![pointwise(|_| ()), block_of("y")]);
    assert_eq!(coverage, Coverage { with_convolution: 1, ..Coverage::default() });
    let [node] = &graph.node[..] else { panic!("{:?}", graph.node) };
    assert!(is(node, BLOCKED_DOMAIN, CONVOLVED_NAME));
    let (filters, bias) = ("ai.cenet.cpu/pointwise for Pixel", "ai.cenet.cpu/no bias of 16");
    assert_eq!(node.input, ["x", "p1", "p2", "p3", "p4", "p5", filters, bias, "x"]);
    assert_eq!(lengths(&graph, filters), [16, 8, 1, 1]);
    assert!(!graph.initializer.iter().any(|tensor| tensor.name() == "pointwise"), "nobody reads the old filters");
}

#[test]
fn a_convolution_that_is_more_than_a_block_takes_stays_before_it() {
    let text = |name: &str| convolution().attribute.into_iter().find(|attribute| attribute.name() == name);
    let nodes = [
        convolution(),
        pointwise(|node| node.input.extend(["", "added"].map(str::to_owned))),
        pointwise(|node| node.attribute.extend(text("activation"))),
        pointwise(|node| node.attribute.push(integers_attribute("strides", &[2, 2]))),
    ];
    for node in nodes {
        let (coverage, graph) = rewritten(vec![node, block_of("y")]);
        assert_eq!((coverage.with_convolution, coverage.convolutions), (0, 1));
        assert_eq!(graph.node[1], block_of("y"));
    }
    let (coverage, _) = rewritten(vec![pointwise(|_| ()), block_of("y"), block_of("y")]);
    assert_eq!((coverage.with_convolution, coverage.convolutions), (0, 1), "two read it");
    let (coverage, _) = rewritten(vec![block_of("of the graph's input")]);
    assert_eq!(coverage, Coverage::default());
    let mut broken = block_of("y");
    broken.input.truncate(3);
    let (coverage, _) = rewritten(vec![pointwise(|_| ()), broken]);
    assert_eq!(coverage.with_convolution, 0, "no inputs to be one");
}

#[test]
fn what_does_not_fit_stays() {
    let with = |name: &'static str, values: &[i64]| {
        let attribute = integers_attribute(name, values);
        changed(|node| {
            node.attribute.retain(|attribute| attribute.name() != name);
            node.attribute.push(attribute);
        })
    };
    let reading = |input: [&str; 3]| changed(|node| node.input = input.map(str::to_owned).to_vec());
    let nodes = [
        with("strides", &[2, 1]),
        with("strides", &[3, 3]),
        with("strides", &[1]),
        with("dilations", &[1, 2]),
        with("pads", &[1, 1]),
        with("pads", &[1, 1, -1, 1]),
        with("pads", &[1, 1, 3, 1]),
        changed(|node| node.attribute.insert(0, integer_attribute("group", 2))),
        changed(|node| node.attribute[5].s = Some(b"LeakyRelu".to_vec())),
        changed(|node| node.attribute[5].s = Some(b"Clip".to_vec())),
        clipped(&[6.0, 0.0]),
        clipped(&[0.0]),
        changed(|node| node.attribute[4].s = Some(b"SAME_UPPER".to_vec())),
        reading(["x", "pointwise", "b"]), // with pads
        reading(["x", "of a picture", "b"]),
        reading(["x", "stem", "b"]), // at strides of 1
        changed(|node| {
            node.input[1] = "stem".into();
            node.attribute[1] = integers_attribute("strides", &[2, 2]);
            node.attribute[0] = integers_attribute("pads", &[3, 3, 7, 3]);
        }),
        changed(|node| {
            node.input[1] = "7x7".into(); // of more channels than a picture has
            node.attribute[1] = integers_attribute("strides", &[2, 2]);
        }),
        reading(["x", "computed", "b"]),
        reading(["x", "w", "computed"]),
        reading(["x", "large", "b"]),
        changed(|node| node.domain = None),
        changed(|node| node.op_type = Some("MaxPool".into())),
        changed(|node| node.input.clear()),
        changed(|node| node.output.clear()),
    ];
    for node in nodes {
        let (coverage, graph) = rewritten(vec![node.clone()]);
        assert_eq!(coverage, Coverage::default(), "{node:?}");
        assert_eq!(graph.node, [node]);
        assert_eq!(graph.initializer.len(), 8);
    }
    let mut broken = model(vec![convolution()]);
    broken.graph.as_mut().expect("a graph").initializer[0].raw_data = Some(vec![0; 7]);
    let mut coverage = Coverage::default();
    rewrite(&mut broken, BLOCK, &mut coverage);
    assert_eq!(coverage, Coverage::default(), "filters of another size than they say");
}
