//! The operator inside ONNX Runtime: against the reference, against ONNX Runtime's own operators, and with what doesn't
//! fit.

mod support;

use ce_op::convolution::{Tile, transformed};
use ce_op::onnx::{
    BLOCK_ATTRIBUTE, BLOCKED_DOMAIN, BLOCKED_NAME, CONVOLUTION_NAME, CONVOLVED_NAME, NAME, PADS_ATTRIBUTE,
    RELU_ATTRIBUTE, STRIDE_ATTRIBUTE,
};
use ce_op::{Shape, reference};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;
use support::onnx_graph::{Attribute, Builder, environment};
use support::operator_graph::{operator_session, standard_session};
use support::{Case, numbers, relative_difference};

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

/// What the operator on blocks reads.
enum Before<'f> {
    /// X, which is its addend too.
    Nothing,
    /// What the runtime's own 1x1 convolution of X gives, with these filters.
    Convolution(&'f [f32]),
    /// X: the same convolution is its own.
    Within(&'f [f32]),
}

/// The operator on blocks of `block` channels between ONNX Runtime's own reorders, and a ReLU; X has as many channels as the result.
fn blocked_session(case: &Case, block: i64, before: &Before<'_>) -> Option<ort::Result<Session>> {
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
    let count = case.shape.channels();
    let (operator, inputs) = match before {
        Before::Nothing => (BLOCKED_NAME, vec!["blocks", "whitening", "fc1", "ln_scale", "ln_bias", "fc2", "blocks"]),
        Before::Convolution(filters) => {
            graph.constant("filters", &[count, count, 1, 1], filters);
            let kernel = [Attribute::Integers("kernel_shape", vec![1, 1])];
            graph.node("Conv", NCHWC_DOMAIN, &["blocks", "filters"], &["convolved"], &kernel);
            (BLOCKED_NAME, vec!["convolved", "whitening", "fc1", "ln_scale", "ln_bias", "fc2", "blocks"])
        }
        Before::Within(filters) => {
            let block = usize::try_from(block).expect("a small number");
            graph.constant("filters", &[count, count, 1, 1], &transformed(filters, [count; 2], block, Tile::Pixel));
            graph.constant("bias", &[count], &vec![0.0; count]);
            let inputs = ["blocks", "whitening", "fc1", "ln_scale", "ln_bias", "fc2", "filters", "bias", "blocks"];
            (CONVOLVED_NAME, inputs.to_vec())
        }
    };
    let attributes = [
        Attribute::Float("gate_scale", case.gate_scale),
        Attribute::Integer(BLOCK_ATTRIBUTE, block),
        Attribute::Integer(RELU_ATTRIBUTE, 1),
    ];
    graph.node(operator, BLOCKED_DOMAIN, &inputs, &["mixed"], &attributes);
    let channels = i64::try_from(count).expect("small");
    graph.node("ReorderOutput", NCHWC_DOMAIN, &["mixed"], &["Y"], &[Attribute::Integer("channels", channels)]);
    let open = [-1, channels, -1, -1];
    Some(graph.session(("X", &open), ("Y", &open), &[(BLOCKED_DOMAIN, 1), (NCHWC_DOMAIN, 1)], &builder))
}

const NCHWC_DOMAIN: &str = "com.microsoft.nchwc";

fn block_of_the_runtime() -> i64 {
    if ce_op::InstructionSet::Avx512.is_available() { 16 } else { 8 }
}

#[test]
fn the_operator_on_blocks_agrees_with_the_reference() {
    let block = block_of_the_runtime();
    for (batch, groups, group_width, side) in [(1, 1, 64, 14), (3, 4, 16, 7), (8, 2, 8, 5), (2, 3, 4, 3)] {
        let hidden = (groups * group_width / 4).max(4);
        let shape = Shape { batch, groups, group_width, pixels: side * side, hidden };
        let case = Case::draw(shape, 0.3, 5);
        let Some(session) = blocked_session(&case, block, &Before::Nothing) else { return };
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
    let Some(session) = blocked_session(&case, 12, &Before::Nothing) else { return };
    let message = session.expect_err("no such blocks").to_string();
    assert!(message.contains("8 or 16"), "{message}");
    let filters = vec![0.1; 32 * 32];
    for before in [Before::Nothing, Before::Within(&filters)] {
        let session = blocked_session(&case, block_of_the_runtime(), &before);
        let mut session = session.expect("a runtime").expect("a session");
        let message = run(&mut session, &[0.5; 32], [1, 32, 1, 1]).expect_err("one pixel").to_string();
        assert!(message.contains("at least 2"), "{message}");
        assert_eq!(run(&mut session, &[], [0, 32, 5, 7]).expect("an empty batch"), [0.0_f32; 0]);
    }
}

#[test]
fn a_convolution_within_the_operator_is_as_one_before_it() {
    let block = block_of_the_runtime();
    for (batch, groups, group_width, side) in [(1, 1, 64, 14), (3, 4, 16, 7), (8, 2, 8, 5), (2, 20, 16, 9)] {
        let count = groups * group_width;
        let shape = Shape { batch, groups, group_width, pixels: side * side, hidden: (count / 4).max(4) };
        let case = Case::draw(shape, 0.3, 5);
        let filters = numbers(8)(count * count, 0.3);
        let answer = |before: &Before<'_>| {
            let mut session = blocked_session(&case, block, before)?.expect("a session");
            Some(run(&mut session, &case.x, [batch, count, side, side]).expect("an output"))
        };
        let Some(expected) = answer(&Before::Convolution(&filters)) else { return };
        let difference = relative_difference(&expected, &answer(&Before::Within(&filters)).expect("a runtime"));
        assert!(difference < 1e-5, "{count} channels of {side}x{side}: {difference:e}");
    }
}

/// A convolution of `[outputs, inputs]` channels on the runtime's blocks, by ours or by the runtime's own operator.
struct Convolved {
    channels: [usize; 2],
    /// Of a filter.
    side: usize,
    stride: i64,
    /// Whether a convolution of the runtime's own is added, whose memory Y may take.
    adds: bool,
    filters: Vec<f32>,
    bias: Vec<f32>,
}

impl Convolved {
    fn draw(channels: [usize; 2], side: usize, stride: i64, adds: bool) -> Self {
        let mut draw = numbers(3);
        let filters = draw(channels.iter().product::<usize>() * side * side, 0.2);
        Self { channels, side, stride, adds, filters, bias: draw(channels[0], 1.0) }
    }

    fn session(&self, tile: Option<Tile>, block: i64, pads: &[i64]) -> Option<ort::Result<Session>> {
        let builder = Session::builder(environment()?).expect("a builder").with_intra_threads(2).expect("two threads");
        let builder = builder.with_operators(ce_op::onnx::blocked_domain(2).expect("a domain")).expect("operators");
        let [outputs, inputs] = self.channels;
        let mut graph = Builder::default();
        graph.constant("filters", &[outputs, inputs, self.side, self.side], &self.filters);
        graph.constant("bias", &[outputs], &self.bias);
        // a stem reads a picture as it is
        let x = if self.side == 7 { "X" } else { "blocks" };
        if x == "blocks" {
            graph.node("ReorderInput", NCHWC_DOMAIN, &["X"], &[x], &[]);
        }
        let side = i64::try_from(self.side).expect("a small number");
        let own = [
            Attribute::Integers("pads", pads.to_vec()),
            Attribute::Integers("kernel_shape", vec![side; 2]),
            Attribute::Integers("strides", vec![self.stride; 2]),
        ];
        if self.adds {
            graph.node("Conv", NCHWC_DOMAIN, &[x, "filters"], &["added"], &own);
        }
        let with_added = |inputs: [&'static str; 3]| inputs.into_iter().chain(self.adds.then_some("added"));
        match tile {
            None => {
                let inputs: Vec<_> = with_added([x, "filters", "bias"]).collect();
                graph.node("Conv", NCHWC_DOMAIN, &inputs, &["convolved"], &own);
            }
            Some(tile) => {
                let side = tile.side();
                let block_len = usize::try_from(block).expect("a small number");
                let transformed = transformed(&self.filters, self.channels, block_len, tile);
                graph.constant("transformed", &[outputs, tile.planes(inputs), side, side], &transformed);
                let attributes = [
                    Attribute::Integers(PADS_ATTRIBUTE, pads.to_vec()),
                    Attribute::Integer(STRIDE_ATTRIBUTE, self.stride),
                    Attribute::Integer(BLOCK_ATTRIBUTE, block),
                ];
                let inputs: Vec<_> = with_added([x, "transformed", "bias"]).collect();
                graph.node(CONVOLUTION_NAME, BLOCKED_DOMAIN, &inputs, &["convolved"], &attributes);
            }
        }
        let outputs = i64::try_from(outputs).expect("a small number");
        graph.node("ReorderOutput", NCHWC_DOMAIN, &["convolved"], &["Y"], &[Attribute::Integer("channels", outputs)]);
        let (x, y) = ([-1; 4], [-1, outputs, -1, -1]);
        Some(graph.session(("X", &x), ("Y", &y), &[(BLOCKED_DOMAIN, 1), (NCHWC_DOMAIN, 1)], &builder))
    }
}

#[test]
fn convolutions_agree_with_the_runtimes_own() {
    let pads = [(3, [1; 4]), (3, [0, 2, 1, 0]), (1, [0; 4])];
    let cases = pads.into_iter().flat_map(|(side, pads)| [(side, pads, 1), (side, pads, 2)]);
    let cases = cases.chain([(7, [3; 4], 2), (7, [2, 1, 6, 1], 2)]);
    for ((side, pads, stride), adds) in cases.flat_map(|case| [(case, true), (case, false)]) {
        let inputs = if side == 7 { 3 } else { 32 };
        let convolved = Convolved::draw([48, inputs], side, stride, adds);
        for shape in [[1, inputs, 14, 14], [3, inputs, 7, 9], [2, inputs, 33, 5]] {
            let x = numbers(4)(shape.iter().product(), 1.0);
            let answer = |tile| {
                let mut session = convolved.session(tile, block_of_the_runtime(), &pads)?.expect("a session");
                Some(run(&mut session, &x, shape).expect("an output"))
            };
            let Some(expected) = answer(None) else { return };
            let fits = |tile: &Tile| tile.filter_side() == side && tile.takes(stride.unsigned_abs() as usize);
            for tile in Tile::ALL.into_iter().filter(fits) {
                let difference = relative_difference(&expected, &answer(Some(tile)).expect("a runtime"));
                assert!(difference < 2e-5, "{tile:?}, {shape:?}, {pads:?}: {difference:e}");
            }
        }
    }
}

/// Y may lie over what is added, but not where that is X, too.
#[test]
fn a_convolution_with_its_own_input_added_still_reads_all_of_it() {
    const COUNT: usize = 128;
    let Some(environment) = environment() else { return };
    let builder = Session::builder(environment).expect("a builder").with_intra_threads(2).expect("two threads");
    let builder = builder.with_operators(ce_op::onnx::blocked_domain(2).expect("a domain")).expect("operators");
    let filters = numbers(6)(COUNT * COUNT, 0.2);
    let block = block_of_the_runtime();
    let answer = |own: bool| {
        let mut graph = Builder::default();
        graph.constant("bias", &[COUNT], &[0.0; COUNT]);
        graph.node("ReorderInput", NCHWC_DOMAIN, &["X"], &["blocks"], &[]);
        let inputs = ["blocks", "filters", "bias", "blocks"];
        if own {
            let block_len = usize::try_from(block).expect("a small number");
            let arranged = transformed(&filters, [COUNT; 2], block_len, Tile::Pixel);
            graph.constant("filters", &[COUNT, COUNT, 1, 1], &arranged);
            let attributes = [
                Attribute::Integers(PADS_ATTRIBUTE, vec![0; 4]),
                Attribute::Integer(STRIDE_ATTRIBUTE, 1),
                Attribute::Integer(BLOCK_ATTRIBUTE, block),
            ];
            graph.node(CONVOLUTION_NAME, BLOCKED_DOMAIN, &inputs, &["convolved"], &attributes);
        } else {
            graph.constant("filters", &[COUNT, COUNT, 1, 1], &filters);
            let kernel = [Attribute::Integers("kernel_shape", vec![1, 1])];
            graph.node("Conv", NCHWC_DOMAIN, &inputs[..3], &["product"], &kernel);
            graph.node("Add", "", &["product", "blocks"], &["convolved"], &[]);
        }
        let channels = i64::try_from(COUNT).expect("a small number");
        graph.node("ReorderOutput", NCHWC_DOMAIN, &["convolved"], &["Y"], &[Attribute::Integer("channels", channels)]);
        let open = [-1, channels, -1, -1];
        let domains = [("", 18), (BLOCKED_DOMAIN, 1), (NCHWC_DOMAIN, 1)];
        let mut session = graph.session(("X", &open), ("Y", &open), &domains, &builder).expect("a session");
        run(&mut session, &numbers(7)(COUNT * 30, 1.0), [1, COUNT, 5, 6]).expect("an output")
    };
    assert!(relative_difference(&answer(false), &answer(true)) < 1e-5);
}

#[test]
fn convolutions_refuse_what_does_not_fit() {
    let refusal = |channels, tile: Tile, stride, block, pads: &[i64]| {
        let convolved = Convolved::draw(channels, tile.filter_side(), stride, false);
        Some(convolved.session(Some(tile), block, pads)?.expect_err("it doesn't fit").to_string())
    };
    let Some(message) = refusal([16, 16], Tile::Two, 1, 4, &[1; 4]) else { return };
    assert!(message.contains("block must be 8 or 16") && message.contains(CONVOLUTION_NAME), "{message}");
    let block = block_of_the_runtime();
    if cfg!(target_arch = "x86_64") {
        let message = refusal([32, 16], Tile::Two, 1, 24 - block, &[1; 4]).expect("a runtime");
        assert!(message.contains("planned for a processor whose blocks have another size"), "{message}");
    }
    let message = refusal([32, 16], Tile::Four, 1, block, &[1, 1, 1, -1]).expect("a runtime");
    assert!(message.contains("pads must be"), "{message}");
    let message = refusal([32, 16], Tile::Pixel, 1, block, &[1; 4]).expect("a runtime");
    assert!(message.contains("pads must be"), "{message}");
    for (tile, stride) in [(Tile::Two, 2), (Tile::One, 1), (Tile::One, 3), (Tile::Pixel, -1), (Tile::Stem, 1)] {
        let message = refusal([32, 16], tile, stride, block, &[0; 4]).expect("a runtime");
        assert!(message.contains("stride"), "{message}");
    }
    let convolved = Convolved::draw([16, 16], 3, 1, false);
    let session = convolved.session(Some(Tile::Two), block_of_the_runtime(), &[1; 4]);
    let mut session = session.expect("a runtime").expect("a session");
    let message = run(&mut session, &[0.5; 32 * 4], [1, 32, 2, 2]).expect_err("32 channels").to_string();
    assert!(message.contains("as many channels as the filters"), "{message}");
    assert_eq!(run(&mut session, &[], [0, 16, 5, 7]).expect("an empty batch"), [0.0_f32; 0]);
}
