//! A block as an ONNX graph: once as the operator's one node, once as the standard operators that stand for it where no
//! kernel is registered.

use ce_op::onnx::{DOMAIN, NAME};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::Case;
use super::onnx_graph::{Attribute, Builder};

/// The operator's node between X and Y, with the block's parameters as constants. `input` is X's shape as declared; -1
/// is open.
///
/// # Errors
/// What ONNX Runtime or the operator has against it.
pub fn operator_session(case: &Case, input: &[i64], builder: &SessionBuilder) -> ort::Result<Session> {
    let mut graph = Builder::default();
    add_parameters(&mut graph, case);
    let inputs = ["X", "whitening", "fc1", "ln_scale", "ln_bias", "fc2"];
    graph.node(NAME, DOMAIN, &inputs, &["Y"], &[Attribute::Float("gate_scale", case.gate_scale)]);
    graph.session(("X", input), ("Y", input), &[(DOMAIN, 1)], builder)
}

/// The same in standard operators, as `cenet-export` writes the function body.
///
/// # Errors
/// What ONNX Runtime has against it.
pub fn standard_session(case: &Case, input: &[i64], builder: &SessionBuilder) -> ort::Result<Session> {
    let mut graph = Builder::default();
    add_parameters(&mut graph, case);
    graph.integers("pixel_axes", &[2, 3]);
    graph.constant("freedom", &[1], &[(case.shape.pixels - 1) as f32]);
    graph.constant("scale", &[1], &[case.gate_scale]);
    add_gate(&mut graph);
    add_mixing(&mut graph, case);
    graph.session(("X", input), ("Y", input), &[], builder)
}

fn add_parameters(graph: &mut Builder, case: &Case) {
    let (groups, width, hidden) = (case.shape.groups, case.shape.group_width, case.shape.hidden);
    let channels = groups * width;
    graph.constant("whitening", &[groups, width, width], &case.whitening);
    graph.constant("fc1", &[hidden, channels], &case.fc1);
    graph.constant("ln_scale", &[hidden], &case.ln_scale);
    graph.constant("ln_bias", &[hidden], &case.ln_bias);
    graph.constant("fc2", &[channels, hidden], &case.fc2);
}

/// From X to `scaled_gate [N, C]`.
fn add_gate(graph: &mut Builder) {
    let mut node = |operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]| {
        graph.node(operator, "", inputs, &[output], attributes);
    };
    node("ReduceMean", &["X", "pixel_axes"], "mean", &[Attribute::Integer("keepdims", 1)]);
    node("Sub", &["X", "mean"], "centred", &[]);
    node("Mul", &["centred", "centred"], "squares", &[]);
    node("ReduceSum", &["squares", "pixel_axes"], "square_sum", &[Attribute::Integer("keepdims", 0)]);
    node("Div", &["square_sum", "freedom"], "variance", &[]);
    let transposed = [Attribute::Integers("perm", vec![1, 0])];
    node("Transpose", &["fc1"], "fc1_transposed", &transposed);
    node("MatMul", &["variance", "fc1_transposed"], "projected", &[]);
    let normalisation = [Attribute::Integer("axis", -1), Attribute::Float("epsilon", 1e-5)];
    node("LayerNormalization", &["projected", "ln_scale", "ln_bias"], "normalised", &normalisation);
    node("Relu", &["normalised"], "hidden", &[]);
    node("Transpose", &["fc2"], "fc2_transposed", &transposed);
    node("MatMul", &["hidden", "fc2_transposed"], "gate_logits", &[]);
    node("Sigmoid", &["gate_logits"], "gate", &[]);
    node("Mul", &["gate", "scale"], "scaled_gate", &[]);
}

/// From X and `scaled_gate` to Y: one matrix for each sample and group, then one product.
fn add_mixing(graph: &mut Builder, case: &Case) {
    let (groups, width) = (case.shape.groups, case.shape.group_width);
    let identity: Vec<f32> = (0..width * width).map(|at| f32::from(at % width == at / width)).collect();
    graph.constant("identity", &[width, width], &identity);
    let [groups, width] = [groups, width].map(|size| i64::try_from(size).expect("a small size"));
    graph.integers("column_shape", &[-1, groups, width, 1]);
    graph.integers("grouped_shape", &[0, groups, width, -1]);
    let mut node = |operator: &str, inputs: &[&str], output: &str| graph.node(operator, "", inputs, &[output], &[]);
    node("Reshape", &["scaled_gate", "column_shape"], "gate_column");
    node("Mul", &["gate_column", "identity"], "gate_diagonal");
    node("Add", &["whitening", "gate_diagonal"], "mixing");
    node("Reshape", &["X", "grouped_shape"], "grouped");
    node("MatMul", &["mixing", "grouped"], "mixed");
    node("Shape", &["X"], "x_shape");
    node("Reshape", &["mixed", "x_shape"], "Y");
}
