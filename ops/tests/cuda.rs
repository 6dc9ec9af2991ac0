//! The operator on a GPU, against the reference. Needs an NVIDIA GPU and onnxruntime-gpu's library: `make test-gpu`.

#![cfg(feature = "cuda")]

mod support;

use ce_op::{Shape, reference};
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;
use support::onnx_graph::environment;
use support::operator_graph::operator_session;
use support::{Case, relative_difference};

fn on_cuda() -> SessionBuilder {
    let environment = environment().expect("ORT_DYLIB_PATH names onnxruntime-gpu's library");
    let mut builder = Session::builder(environment).expect("a builder");
    CUDA::default().with_tf32(false).register(&mut builder).expect("CUDA starts");
    builder.with_operators(ce_op::onnx::cuda_domain().expect("a domain")).expect("operators")
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_gpu_agrees_with_the_reference() {
    let builder = on_cuda();
    let mut worst = 0_f32;
    for (batch, groups, group_width, side) in [
        (1, 1, 64, 112),
        (1, 16, 16, 56),
        (8, 64, 16, 14),
        (3, 32, 8, 7),
        (2, 3, 5, 3),
        (2, 2, 100, 9),
        (5, 12, 1, 11),
        (64, 4, 32, 2),
    ] {
        let hidden = (groups * group_width / 4).max(1);
        let shape = Shape { batch, groups, group_width, pixels: side * side, hidden };
        let case = Case::draw(shape, 0.3, 5);
        let channels = shape.channels();
        let open = [-1, i64::try_from(channels).expect("small"), -1, -1];
        let mut session = operator_session(&case, &open, &builder).expect("a session with the operator");
        let expected = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").y;
        for run in 0..3 {
            let x = Tensor::from_array(([batch, channels, side, side], case.x.clone())).expect("a tensor");
            let outputs = session.run(ort::inputs![x]).expect("an output");
            let difference = relative_difference(&expected, outputs[0].try_extract_tensor::<f32>().expect("floats").1);
            assert!(difference < 1e-5, "{shape:?}, run {run}: {difference:e}");
            worst = worst.max(difference);
        }
    }
    println!("differs from the reference by {worst:.1e} at most");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn an_error_on_the_gpu_names_the_node_and_hurts_nothing() {
    let builder = on_cuda();
    let shape = Shape { batch: 2, groups: 2, group_width: 16, pixels: 35, hidden: 8 };
    let case = Case::draw(shape, 0.0, 6);
    let mut session = operator_session(&case, &[-1, 32, -1, -1], &builder).expect("a session");
    let single = Tensor::from_array(([2, 32, 1, 1], vec![0_f32; 64])).expect("a tensor");
    let error = session.run(ort::inputs![single]).expect_err("one pixel has no variance").to_string();
    assert!(error.contains("at least 2"), "{error}");
    let x = Tensor::from_array(([2, 32, 5, 7], case.x.clone())).expect("a tensor");
    let outputs = session.run(ort::inputs![x]).expect("an output");
    let expected = reference::forward(&shape, &case.parameters(), &case.x).expect("the buffers fit").y;
    let difference = relative_difference(&expected, outputs[0].try_extract_tensor::<f32>().expect("floats").1);
    assert!(difference < 1e-5, "{difference:e}");
}
