//! Quantised graphs as their files have them, and what becomes of them: written as `output = operator(inputs)`.

use super::*;
use crate::model::onnx::ValueInfoProto;

/// A graph with one node a line; `CE x` stands for a CE node on `x` with its constants, `Q` and `D` for `QuantizeLinear` and
/// `DequantizeLinear` with the scale and the zero point of their last input: `a` is 0.5 and 3, `b` 0.25 and 0, `wide` a scale a channel.
fn model(lines: &[&str], outputs: &[&str]) -> ModelProto {
    let mut constants: Vec<_> = ["w", "fc1", "s", "b", "fc2"].map(|name| tensor(name, DataType::Float, &[1])).to_vec();
    for (name, scale, zero_point) in [("a", 0.5_f32, 3), ("b", 0.25, 0)] {
        let stored = tensor(&format!("{name}_scale"), DataType::Float, &[]);
        constants.push(TensorProto { raw_data: Some(scale.to_le_bytes().into()), ..stored });
        let stored = tensor(&format!("{name}_zero"), DataType::Uint8, &[]);
        constants.push(TensorProto { int32_data: vec![zero_point], ..stored });
    }
    constants.push(tensor("wide_scale", DataType::Float, &[32]));
    constants.push(tensor("wide_zero", DataType::Uint8, &[32]));
    let output = |name: &&str| ValueInfoProto { name: Some((*name).into()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        initializer: constants,
        node: lines.iter().map(|line| parse(line)).collect(),
        output: outputs.iter().map(output).collect(),
        ..GraphProto::default()
    };
    ModelProto { graph: Some(graph), ..ModelProto::default() }
}

fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> TensorProto {
    let (name, data_type) = (Some(name.into()), Some(data_type as i32));
    TensorProto { name, data_type, dims: dims.to_vec(), ..TensorProto::default() }
}

fn parse(line: &str) -> NodeProto {
    let (output, call) = line.split_once(" = ").expect("a node");
    let (operator, inputs) = call.trim_end_matches(')').split_once('(').expect("an operator");
    let mut input: Vec<String> = inputs.split(", ").map(str::to_owned).collect();
    let mut linear = |operator| {
        let name = input.pop().expect("a scale");
        input.extend([format!("{name}_scale"), format!("{name}_zero")]);
        ("", operator)
    };
    let (domain, operator) = match operator {
        "Q" => linear("QuantizeLinear"),
        "D" => linear("DequantizeLinear"),
        "CE" => {
            input.extend(["w", "fc1", "s", "b", "fc2"].map(str::to_owned));
            (DOMAIN, NAME)
        }
        other => ("", other),
    };
    NodeProto {
        input,
        output: vec![output.into()],
        op_type: Some(operator.into()),
        domain: Some(domain.into()),
        ..NodeProto::default()
    }
}

fn told(node: &NodeProto) -> String {
    let operator = match node.op_type() {
        QUANTIZED_NAME => "8",
        "Transpose" if node.attribute[0].ints == TO_CHANNELS_LAST => "Last",
        "Transpose" if node.attribute[0].ints == TO_CHANNELS_FIRST => "First",
        "QuantizeLinear" => "Q",
        "DequantizeLinear" => "D",
        NAME => "CE",
        other => other,
    };
    let constant = |name: &&String| !["w", "fc1", "s", "b", "fc2"].contains(&name.as_str());
    let inputs: Vec<_> = node.input.iter().filter(constant).map(|name| name.replace("ai.cenet.cpu/", "@")).collect();
    format!("{} = {operator}({})", node.output[0].replace("ai.cenet.cpu/", "@"), inputs.join(", "))
}

fn rewritten(mut model: ModelProto) -> (Vec<NodeProto>, Coverage) {
    let coverage = rewrite(&mut model);
    let imports = model.opset_import.iter().any(|import| import.domain() == BLOCKED_DOMAIN);
    assert_eq!(imports, coverage.quantized > 0);
    (model.graph.expect("a graph").node, coverage)
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> &'n AttributeProto {
    node.attribute.iter().find(|attribute| attribute.name() == name).expect(name)
}

#[test]
fn a_residual_block_becomes_one_node() {
    let lines = ["x = D(xq, a)", "y = CE(x)", "r = D(rq, b)", "sum = Add(r, y)", "t = Relu(sum)", "tq = Q(t, b)"];
    let (nodes, coverage) = rewritten(model(&[&lines[..], &["u = Conv(tq)"]].concat(), &["u"]));
    assert_eq!(
        nodes.iter().map(told).collect::<Vec<_>>(),
        [
            "@tq/x = Last(xq)",
            "@tq/residual = Last(rq)",
            "@tq/y = 8(@tq/x, @tq/residual)",
            "tq = First(@tq/y)",
            "u = Conv(tq)"
        ]
    );
    assert_eq!(coverage, Coverage { quantized: 1, with_add: 1, with_relu: 1, ..Coverage::default() });
    let block = &nodes[2];
    for (name, scale, zero_point) in [("x", 0.5, 3), ("residual", 0.25, 0), ("y", 0.25, 0)] {
        assert_eq!(attribute(block, &format!("{name}_scale")).f(), scale, "{name}");
        assert_eq!(attribute(block, &format!("{name}_zero_point")).i(), zero_point, "{name}");
    }
    assert_eq!(attribute(block, "relu").i(), 1);
}

#[test]
fn what_others_read_stays() {
    let lines = ["x = D(xq, a)", "y = CE(x)", "yq = Q(y, a)", "z = Conv(x)", "u = Conv(yq)"];
    let (nodes, coverage) = rewritten(model(&lines, &["u", "z"]));
    let told: Vec<_> = nodes.iter().map(told).collect();
    assert!(told.contains(&"x = D(xq, a_scale, a_zero)".into()), "{told:?}");
    assert_eq!(coverage, Coverage { quantized: 1, ..Coverage::default() });
}

#[test]
fn what_does_not_fit_stays() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["y = CE(x)", "yq = Q(y, a)", "z = Conv(yq)"], &["z"]),
        (&["x = D(xq, wide)", "y = CE(x)", "yq = Q(y, a)", "z = Conv(yq)"], &["z"]),
        (&["x = D(xq, a)", "y = CE(x)", "z = Conv(y)"], &["z"]),
        (&["x = D(xq, a)", "y = CE(x)", "yq = Q(y, a)", "z = Conv(yq)"], &["z", "y"]),
        (&["x = D(xq, a)", "y = CE(x)", "yq = Q(y, a)", "zq = Q(y, b)", "z = Conv(yq, zq)"], &["z"]),
        (&["x = D(xq, a)", "y = CE(x)", "sum = Add(y, r)", "sq = Q(sum, a)", "z = Conv(sq)"], &["z"]),
        (&["x = D(xq, a)", "y = CE(x)", "sum = Add(y, y)", "sq = Q(sum, a)", "z = Conv(sq)"], &["z"]),
    ];
    for (lines, outputs) in cases {
        let model = model(lines, outputs);
        let before = model.graph.clone().expect("a graph").node;
        let (nodes, coverage) = rewritten(model);
        assert_eq!(nodes, before, "{lines:?}");
        assert_eq!(coverage, Coverage::default());
    }
}

#[test]
fn nodes_without_outputs_do_no_harm() {
    let mut model = model(&["x = D(image, a)", "y = CE(x)", "out = Q(y, b)", "spare = D(image, a)"], &["out"]);
    model.graph.as_mut().expect("a graph").node[3].output.clear();
    assert_eq!(rewrite(&mut model).quantized, 1);
}
