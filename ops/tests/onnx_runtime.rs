//! The operator inside ONNX Runtime: against the reference, against ONNX Runtime's own operators, and with what doesn't
//! fit.

mod support;

use ce_op::onnx::{BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, BLOCKED_NAME, NAME, RELU_ATTRIBUTE};
use ce_op::{Shape, reference};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;
use support::onnx_graph::{Attribute, Builder, environment};
use support::operator_graph::{operator_session, standard_session};
use support::{Case, relative_difference};

const SHAPE: Shape = Shape { batch: 3, groups: 2, group_width: 16, pixels: 35, hidden: 8 };

/// A builder with the operator registered, or none where ONNX Runtime isn't.
fn with_operator() -> Option<SessionBuilder> {
    let builder = Session::builder(environment()?).expect("a builder").with_intra_threads(2).expect("two threads");
    Some(builder.with_operators(ce_op::operator_domain().expect("a domain")).expect("operators"))
}

fn run(session: &mut Session, x: &[f32], shape: [usize; 4]) -> ort::Result<Vec<f32>> {
    let outputs = session.run(ort::inputs![Tensor::from_array((shape, x.to_vec()))?])?;
    Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
}

#[test]
fn the_kernel_agrees_with_the_reference_and_with_standard_operators() {
    let Some(builder) = with_operator() else { return };
    for (batch, groups, group_width, side) in [(1, 1, 64, 14), (3, 4, 16, 7), (8, 2, 8, 5), (2, 3, 5, 3)] {
        let shape =
            Shape { batch, groups, group_width, pixels: side * side, hidden: (groups * group_width / 4).max(4) };
        let case = Case::draw(shape, 0.3, 5);
        let channels = shape.channels();
        let open = [-1, i64::try_from(channels).expect("small"), -1, -1];
        let expected = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").y;
        let mut sessions = [
            operator_session(&case, &open, &builder).expect("a session with the operator"),
            standard_session(&case, &open, &builder).expect("a session with standard operators"),
        ];
        for session in &mut sessions {
            let y = run(session, &case.x, [batch, channels, side, side]).expect("an output");
            let difference = relative_difference(&expected, &y);
            assert!(difference < 1e-5, "{shape:?}: {difference:e}");
        }
    }
}

/// Between two other nodes ONNX Runtime may put the output over the input; a reader beside the operator must not see
/// that.
#[test]
fn an_input_that_others_read_is_left_alone() {
    let Some(builder) = with_operator() else { return };
    let case = Case::draw(SHAPE, 0.0, 6);
    let expected = reference::forward(&SHAPE, &case.parameters(), &case.x).expect("the buffers fit").y;
    for read_twice in [false, true] {
        let mut graph = Builder::default();
        let channels = SHAPE.channels();
        for (name, shape, values) in [
            ("whitening", vec![2, 16, 16], &case.whitening),
            ("fc1", vec![8, channels], &case.fc1),
            ("ln_scale", vec![8], &case.ln_scale),
            ("ln_bias", vec![8], &case.ln_bias),
            ("fc2", vec![channels, 8], &case.fc2),
        ] {
            graph.constant(name, &shape, values);
        }
        graph.constant("half", &[1], &[0.5]);
        graph.node("Mul", "", &["doubled", "half"], &["copy"], &[]);
        let inputs = ["copy", "whitening", "fc1", "ln_scale", "ln_bias", "fc2"];
        graph.node(NAME, ce_op::onnx::DOMAIN, &inputs, &["mixed"], &[Attribute::Float("gate_scale", case.gate_scale)]);
        graph.node("Sub", "", &["mixed", if read_twice { "copy" } else { "half" }], &["Y"], &[]);
        let shape = [3, 32, 5, 7];
        let mut session = graph
            .session(("doubled", &shape), ("Y", &shape), &[(ce_op::onnx::DOMAIN, 1)], &builder)
            .expect("a session");
        let doubled: Vec<f32> = case.x.iter().map(|value| 2.0 * value).collect();
        let y = run(&mut session, &doubled, [3, 32, 5, 7]).expect("an output");
        let subtracted = |index: usize| if read_twice { case.x[index] } else { 0.5 };
        let expected: Vec<f32> = expected.iter().enumerate().map(|(at, value)| value - subtracted(at)).collect();
        let difference = relative_difference(&expected, &y);
        assert!(difference < 1e-5, "{difference:e}");
    }
}

#[test]
fn what_is_known_not_to_fit_is_refused_when_the_session_is_made() {
    let Some(builder) = with_operator() else { return };
    let case = Case::draw(SHAPE, 0.0, 6);
    let refusal =
        |case: &Case, input: &[i64]| operator_session(case, input, &builder).expect_err("refused").to_string();
    let message = refusal(&case, &[-1, 33, -1, -1]);
    assert!(message.contains("33 channels") && message.contains(&format!("{NAME}_0")), "{message}");
    let message = refusal(&case, &[-1, 32, 1, 1]);
    assert!(message.contains("at least 2"), "{message}");
    let message = refusal(&Case { gate_scale: f32::NAN, ..case.clone() }, &[-1, 32, -1, -1]);
    assert!(message.contains("untrained"), "{message}");
}

#[test]
fn what_turns_out_not_to_fit_is_an_error_of_the_run_alone() {
    let Some(builder) = with_operator() else { return };
    let case = Case::draw(SHAPE, 0.0, 6);
    let mut session = operator_session(&case, &[-1, -1, -1, -1], &builder).expect("a session");
    let message = run(&mut session, &[0.5; 32], [1, 32, 1, 1]).expect_err("one pixel").to_string();
    assert!(message.contains("at least 2") && message.contains(&format!("{NAME}_0")), "{message}");
    let message = run(&mut session, &[0.5; 4 * 31], [1, 31, 2, 2]).expect_err("31 channels").to_string();
    assert!(message.contains("31 channels"), "{message}");
    let expected = reference::forward(&SHAPE, &case.parameters(), &case.x).expect("the buffers fit").y;
    let y = run(&mut session, &case.x, [3, 32, 5, 7]).expect("the session still runs");
    assert!(relative_difference(&expected, &y) < 1e-5);
    assert_eq!(run(&mut session, &[], [0, 32, 5, 7]).expect("an empty batch"), [0.0_f32; 0]);
}

/// The operator on blocks of `block` channels between ONNX Runtime's own reorders, with X as its addend too, and a ReLU.
fn blocked_session(case: &Case, block: i64) -> Option<ort::Result<Session>> {
    let builder = Session::builder(environment()?).expect("a builder").with_intra_threads(2).expect("two threads");
    let builder = builder.with_operators(ce_op::onnx::blocked_domain(2).expect("a domain")).expect("operators");
    let mut graph = Builder::default();
    let (groups, width) = (case.shape.groups, case.shape.group_width);
    for (name, shape, values) in [
        ("whitening", vec![groups, width, width], &case.whitening),
        ("fc1", vec![case.shape.hidden, case.shape.channels()], &case.fc1),
        ("ln_scale", vec![case.shape.hidden], &case.ln_scale),
        ("ln_bias", vec![case.shape.hidden], &case.ln_bias),
        ("fc2", vec![case.shape.channels(), case.shape.hidden], &case.fc2),
    ] {
        graph.constant(name, &shape, values);
    }
    graph.node("ReorderInput", NCHWC_DOMAIN, &["X"], &["blocks"], &[]);
    let inputs = ["blocks", "whitening", "fc1", "ln_scale", "ln_bias", "fc2", "blocks"];
    let attributes = [
        Attribute::Float("gate_scale", case.gate_scale),
        Attribute::Integer(BLOCK_ATTRIBUTE, block),
        Attribute::Integer(RELU_ATTRIBUTE, 1),
    ];
    graph.node(BLOCKED_NAME, BLOCKED_DOMAIN, &inputs, &["mixed"], &attributes);
    let channels = i64::try_from(case.shape.channels()).expect("small");
    graph.node("ReorderOutput", NCHWC_DOMAIN, &["mixed"], &["Y"], &[Attribute::Integer("channels", channels)]);
    let open = [-1, channels, -1, -1];
    Some(graph.session(("X", &open), ("Y", &open), &[(BLOCKED_DOMAIN, 1), (NCHWC_DOMAIN, 1)], &builder))
}

const NCHWC_DOMAIN: &str = "com.microsoft.nchwc";

#[test]
fn the_operator_on_blocks_agrees_with_the_reference() {
    // as the runtime chooses it
    let block = if ce_op::InstructionSet::Avx512.is_available() { 16 } else { 8 };
    for (batch, groups, group_width, side) in [(1, 1, 64, 14), (3, 4, 16, 7), (8, 2, 8, 5), (2, 3, 4, 3)] {
        let hidden = (groups * group_width / 4).max(4);
        let shape = Shape { batch, groups, group_width, pixels: side * side, hidden };
        let case = Case::draw(shape, 0.3, 5);
        let Some(session) = blocked_session(&case, block) else { return };
        let y = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").y;
        let expected: Vec<f32> = y.iter().zip(&case.x).map(|(y, x)| (y + x).max(0.0)).collect();
        let shape = [batch, shape.channels(), side, side];
        let y = run(&mut session.expect("a session"), &case.x, shape).expect("an output");
        let difference = relative_difference(&expected, &y);
        assert!(difference < 1e-5, "{shape:?}: {difference:e}");
    }
}

#[test]
fn the_operator_on_blocks_refuses_what_does_not_fit() {
    let case = Case::draw(SHAPE, 0.0, 6);
    let Some(session) = blocked_session(&case, 12) else { return };
    let message = session.expect_err("no such blocks").to_string();
    assert!(message.contains("8 or 16"), "{message}");
    let mut session = blocked_session(&case, 8).expect("a runtime").expect("a session");
    let message = run(&mut session, &[0.5; 32], [1, 32, 1, 1]).expect_err("one pixel").to_string();
    assert!(message.contains("at least 2"), "{message}");
}
