//! Graphs as the runtime leaves them, and what becomes of them: written as `output = operator(inputs)`.

use super::*;
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::type_proto::{self, Tensor};
use crate::model::onnx::{TensorProto, TensorShapeProto, TypeProto, ValueInfoProto};

const BLOCK: usize = 16;
const SHAPE: [i64; 4] = [2, 32, 7, 7];

/// A graph with one node a line; `CE x` stands for a CE node on `x` with its constants, `RO` and `RI` for the reorders.
fn model(lines: &[&str], outputs: &[&str]) -> ModelProto {
    let constants =
        [("w", vec![2, 16, 16]), ("fc1", vec![8, 32]), ("s", vec![8]), ("b", vec![8]), ("fc2", vec![32, 8])];
    let constants =
        constants.map(|(name, dims)| TensorProto { name: Some(name.into()), dims, ..TensorProto::default() });
    let nodes: Vec<_> = lines.iter().map(|line| parse(line)).collect();
    let values = nodes.iter().flat_map(|node| &node.output).map(|name| value(name, &SHAPE));
    let graph = GraphProto {
        initializer: constants.to_vec(),
        value_info: values.collect(),
        output: outputs
            .iter()
            .map(|name| ValueInfoProto { name: Some((*name).into()), ..ValueInfoProto::default() })
            .collect(),
        node: nodes,
        ..GraphProto::default()
    };
    ModelProto { graph: Some(graph), ..ModelProto::default() }
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let length = |length: &i64| Dimension { value: Some(dimension::Value::DimValue(*length)), ..Dimension::default() };
    let tensor =
        Tensor { shape: Some(TensorShapeProto { dim: shape.iter().map(length).collect() }), ..Tensor::default() };
    let value_type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(value_type), ..ValueInfoProto::default() }
}

fn parse(line: &str) -> NodeProto {
    let (output, call) = line.split_once(" = ").expect("a node");
    let (operator, inputs) = call.trim_end_matches(')').split_once('(').expect("an operator");
    let mut input: Vec<String> = inputs.split(", ").map(str::to_owned).collect();
    let (domain, operator, attribute) = match operator {
        "CE" => {
            input.extend(["w", "fc1", "s", "b", "fc2"].map(str::to_owned));
            (DOMAIN, NAME, vec![])
        }
        "RO" => (NCHWC_DOMAIN, "ReorderOutput", vec![integer_attribute("channels", 32)]),
        "RI" => (NCHWC_DOMAIN, "ReorderInput", vec![]),
        "Conv" => (NCHWC_DOMAIN, "Conv", vec![]),
        other => ("", other, vec![]),
    };
    NodeProto {
        input,
        output: vec![output.into()],
        op_type: Some(operator.into()),
        domain: Some(domain.into()),
        attribute,
        ..NodeProto::default()
    }
}

fn told(node: &NodeProto) -> String {
    let operator = match node.op_type() {
        BLOCKED_NAME if integer(node, RELU_ATTRIBUTE) == Some(1) => "BlockedRelu",
        BLOCKED_NAME => "Blocked",
        "ReorderOutput" => "RO",
        "ReorderInput" => "RI",
        NAME => "CE",
        other => other,
    };
    let inputs = node.input.iter().filter(|name| !["w", "fc1", "s", "b", "fc2"].contains(&name.as_str()));
    let inputs: Vec<_> = inputs.map(|name| name.replace("ai.cenet.cpu/", "@")).collect();
    format!("{} = {operator}({})", node.output[0].replace("ai.cenet.cpu/", "@"), inputs.join(", "))
}

fn rewritten(model: ModelProto) -> (Vec<String>, Coverage) {
    rewritten_taking(model, Unknown::Different)
}

fn rewritten_taking(mut model: ModelProto, unknown: Unknown) -> (Vec<String>, Coverage) {
    let coverage = rewrite(&mut model, BLOCK, unknown);
    let imports = model.opset_import.iter().any(|import| import.domain() == BLOCKED_DOMAIN);
    assert_eq!(imports, coverage.blocked > 0);
    let graph = model.graph.expect("a graph");
    let blocked = graph.node.iter().filter(|node| node.op_type() == BLOCKED_NAME);
    assert!(blocked.into_iter().all(|node| integer(node, BLOCK_ATTRIBUTE) == Some(16)));
    (graph.node.iter().map(told).collect(), coverage)
}

#[test]
fn a_residual_block_stays_in_blocks() {
    let lines = [
        "a = Conv(image)",
        "short = RO(a)",
        "c = Conv(a)",
        "x = RO(c)",
        "y = CE(x)",
        "sum = Add(y, short)",
        "out = Relu(sum)",
        "d = RI(out)",
        "e = Conv(d)",
        "result = RO(e)",
    ];
    let (nodes, coverage) = rewritten(model(&lines, &["result"]));
    let expected = ["a = Conv(image)", "c = Conv(a)", "@out = BlockedRelu(c, a)", "e = Conv(@out)", "result = RO(e)"];
    assert_eq!(nodes, expected);
    assert_eq!(coverage, Coverage { blocked: 1, with_add: 1, with_relu: 1, ..Coverage::default() });
}

#[test]
fn one_block_after_the_other() {
    let lines = [
        "c = Conv(image)",
        "x = RO(c)",
        "y = CE(x)",
        "out = Relu(y)",
        "d = RI(out)",
        "e = Conv(d)",
        "x2 = RO(e)",
        "y2 = CE(x2)",
        "sum = Add(out, y2)",
        "out2 = Relu(sum)",
        "f = RI(out2)",
        "g = Conv(f)",
        "result = RO(g)",
    ];
    let (nodes, coverage) = rewritten(model(&lines, &["result"]));
    let expected = [
        "c = Conv(image)",
        "@out = BlockedRelu(c)",
        "e = Conv(@out)",
        "@out2 = BlockedRelu(e, @out)",
        "g = Conv(@out2)",
        "result = RO(g)",
    ];
    assert_eq!(nodes, expected);
    assert_eq!(coverage, Coverage { blocked: 2, with_add: 1, with_relu: 2, ..Coverage::default() });
}

#[test]
fn who_reads_rows_finds_them() {
    let lines = [
        "c = Conv(image)",
        "x = RO(c)",
        "y = CE(x)",
        "out = Relu(y)",
        "d = RI(out)",
        "e = Conv(d)",
        "p = MaxPool(out)",
    ];
    let (nodes, _) = rewritten(model(&lines, &["e", "p"]));
    let expected = ["c = Conv(image)", "@out = BlockedRelu(c)", "out = RO(@out)", "e = Conv(@out)", "p = MaxPool(out)"];
    assert_eq!(nodes, expected);
    let (nodes, _) = rewritten(model(&["c = Conv(image)", "x = RO(c)", "y = CE(x)"], &["y", "x"]));
    assert_eq!(nodes, ["c = Conv(image)", "x = RO(c)", "@y = Blocked(c)", "y = RO(@y)"], "outputs of the graph");
}

#[test]
fn the_sum_of_two_ce_results() {
    let lines =
        ["c = Conv(image)", "x = RO(c)", "y = CE(x)", "d = Conv(c)", "x2 = RO(d)", "z = CE(x2)", "sum = Add(y, z)"];
    let (nodes, coverage) = rewritten(model(&lines, &["sum"]));
    let expected = ["c = Conv(image)", "d = Conv(c)", "@z = Blocked(d)", "@sum = Blocked(c, @z)", "sum = RO(@sum)"];
    assert_eq!(nodes, expected);
    assert_eq!(coverage, Coverage { blocked: 2, with_add: 1, with_relu: 0, ..Coverage::default() });
}

#[test]
fn what_does_not_fit_stays_as_it_is() {
    let rows = ["x = Identity(image)", "y = CE(x)", "out = Relu(y)"];
    let (nodes, coverage) = rewritten(model(&rows, &["out"]));
    assert_eq!(nodes, rows.map(ToOwned::to_owned), "X isn't in blocks");
    assert_eq!(coverage, Coverage { plain: 1, ..Coverage::default() });

    let blocks = ["c = Conv(image)", "x = RO(c)", "y = CE(x)", "out = Relu(y)"];
    let mut open = model(&blocks, &["out"]);
    open.graph.as_mut().expect("a graph").initializer.retain(|tensor| tensor.name() != "fc1");
    assert_eq!(rewritten(open).1.plain, 1, "a parameter isn't constant");
    let mut wide = model(&blocks, &["out"]);
    wide.graph.as_mut().expect("a graph").initializer[0].dims = vec![3, 16, 16];
    assert_eq!(rewritten(wide).1.plain, 1, "the whitening is for other channels");
}

#[test]
fn an_add_that_does_not_fit_stays() {
    let with = |lines: &[&str]| rewritten(model(lines, &["sum"]));
    let (nodes, coverage) = with(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "sum = Add(y, image)"]);
    assert_eq!(nodes, ["c = Conv(image)", "@y = Blocked(c)", "y = RO(@y)", "sum = Add(y, image)"], "an addend in rows");
    assert_eq!((coverage.blocked, coverage.with_add), (1, 0));

    let (nodes, _) = with(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "sum = Add(y, y)"]);
    assert_eq!(nodes.last().expect("nodes"), "sum = Add(y, y)");
    let (nodes, _) =
        with(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "r = Relu(y)", "t = Add(r, x)", "sum = Add(t, y)"]);
    assert_eq!(nodes.last().expect("nodes"), "sum = Add(t, y)", "the result is read twice");
    let (nodes, _) = with(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "r = Relu(y)", "sum = Add(r, x)"]);
    assert_eq!(nodes.last().expect("nodes"), "sum = Add(r, x)", "it comes after the ReLU");

    let mut narrow =
        model(&["a = Conv(image)", "p = RO(a)", "c = Conv(a)", "x = RO(c)", "y = CE(x)", "sum = Add(y, p)"], &["sum"]);
    for info in &mut narrow.graph.as_mut().expect("a graph").value_info {
        if info.name() == "p" {
            *info = value("p", &[2, 32, 1, 1]);
        }
    }
    assert_eq!(rewritten(narrow).0.last().expect("nodes"), "sum = Add(y, p)", "one pixel is added to all");
}

#[test]
fn graphs_within_nodes_find_what_they_read() {
    let mut with_branch =
        model(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "out = Relu(y)", "i = If(condition)"], &["i"]);
    let graph = with_branch.graph.as_mut().expect("a graph");
    let branch = GraphProto { node: vec![parse("z = Identity(y)")], ..GraphProto::default() };
    let attribute = AttributeProto { name: Some("then_branch".into()), g: Some(branch), ..AttributeProto::default() };
    graph.node.last_mut().expect("a node").attribute.push(attribute);
    let (nodes, _) = rewritten(with_branch);
    let expected = ["c = Conv(image)", "@y = Blocked(c)", "y = RO(@y)", "out = Relu(y)", "i = If(condition)"];
    assert_eq!(nodes, expected);
}

#[test]
fn a_shape_that_is_not_told_is_taken_as_asked_for() {
    let lines = ["a = Conv(image)", "p = RO(a)", "c = Conv(a)", "x = RO(c)", "y = CE(x)", "sum = Add(y, p)"];
    let untold = || {
        let mut model = model(&lines, &["sum"]);
        model.graph.as_mut().expect("a graph").value_info.clear();
        model
    };
    assert_eq!(rewritten_taking(untold(), Unknown::Same).1.with_add, 1);
    assert_eq!(rewritten_taking(untold(), Unknown::Different).1.with_add, 0);
}

#[test]
fn nodes_without_inputs_or_outputs_are_left_alone() {
    let lines = [
        "a = Conv(image)",
        "short = RO(a)",
        "c = Conv(a)",
        "x = RO(c)",
        "y = CE(x)",
        "sum = Add(y, short)",
        "out = Relu(sum)",
        "d = RI(out)",
        "e = Conv(d)",
    ];
    let damages: [fn(&mut NodeProto); 2] = [|node| node.input.clear(), |node| node.output.clear()];
    for (place, damage) in (0..lines.len()).flat_map(|place| damages.map(|damage| (place, damage))) {
        let mut model = model(&lines, &["e"]);
        let node = &mut model.graph.as_mut().expect("a graph").node[place];
        damage(node);
        let damaged = node.clone();
        rewrite(&mut model, BLOCK, Unknown::Same);
        let same = |node: &&NodeProto| node.op_type == damaged.op_type && node.output == damaged.output;
        assert!(model.graph.expect("a graph").node.iter().any(|node| same(&node)), "{}", lines[place]);
    }
}

#[test]
fn blocks_that_leave_the_graph_keep_their_name() {
    let (nodes, _) = rewritten(model(&["c = Conv(image)", "x = RO(c)", "y = CE(x)", "d = RI(y)"], &["d"]));
    assert_eq!(nodes, ["c = Conv(image)", "@y = Blocked(c)", "y = RO(@y)", "d = RI(y)"]);
}

#[test]
fn more_channels_than_can_be_counted_do_not_fit() {
    let mut model = model(&["c = Conv(image)", "x = RO(c)", "y = CE(x)"], &["y"]);
    model.graph.as_mut().expect("a graph").initializer[0].dims = vec![i64::MAX, 16, 16];
    assert_eq!(rewritten(model).1.plain, 1);
}
