//! The session's own threads, for the kernel's tasks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use ort::operator::ComputeContext;

use crate::Parallel;

/// The thread pool of the session that runs a node.
pub(super) struct SessionThreads<'a> {
    context: &'a ComputeContext,
    threads: usize,
}

/// `threads`; 0 means one a core.
pub(super) fn or_all_cores(threads: usize) -> usize {
    if threads == 0 { available_parallelism().map_or(1, usize::from) } else { threads }
}

impl<'a> SessionThreads<'a> {
    /// The pool behind `context`, taken to have `threads` threads: ONNX Runtime doesn't tell.
    pub(super) fn new(context: &'a ComputeContext, threads: usize) -> Self {
        Self { context, threads }
    }
}

impl Parallel for SessionThreads<'_> {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // a panic must not unwind into ONNX Runtime's threads: the first is kept, and goes on from here
        let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        // 0 lets each thread take one run of neighbouring tasks
        let started = self.context.par_for(tasks, 0, |index| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(index))) {
                panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
            }
        });
        if let Some(payload) = panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
        if let Err(error) = started {
            panic!("ONNX Runtime's threads can't be used: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use ort::Result;
    use ort::operator::{BoxedKernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
    use ort::session::Session;
    use ort::value::{Tensor, TensorElementType};

    use super::*;
    use crate::onnx::guard::guarded;
    use crate::support::onnx_graph;

    const DOMAIN: &str = "test.cenet";

    /// Copies its input, but panics when its first number is 1 (on the calling thread) or 2 (on the session's threads).
    struct Fragile;

    impl Operator for Fragile {
        type Kernel<'attr> = BoxedKernel<'attr>;

        fn name(&self) -> &str {
            "Fragile"
        }

        fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
            [OperatorInput::required(TensorElementType::Float32)]
        }

        fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
            [OperatorOutput::required(TensorElementType::Float32)]
        }

        fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> Result<Self::Kernel<'attr>> {
            Ok(Box::new(|context: &ComputeContext| guarded(|| copy_or_panic(context))))
        }
    }

    fn copy_or_panic(context: &ComputeContext) -> Result<()> {
        let x = context.input(0)?.expect("an input");
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        assert!(x[0] != 1.0, "asked to panic here");
        SessionThreads::new(context, 2).run(100, &|index| assert!(x[0] != 2.0 || index < 90, "asked to panic there"));
        let mut y = context.output(0, shape.clone())?.expect("an output");
        y.try_extract_tensor_mut::<f32>()?.1.copy_from_slice(x);
        Ok(())
    }

    #[test]
    fn panics_become_errors_and_the_session_lives_on() {
        let Some(environment) = onnx_graph::environment() else { return };
        let mut graph = onnx_graph::Builder::default();
        graph.node("Fragile", DOMAIN, &["X"], &["Y"], &[]);
        let domain = OperatorDomain::new(DOMAIN).and_then(|domain| domain.add(Fragile)).expect("a domain");
        let builder = Session::builder(environment).expect("a builder").with_intra_threads(2).expect("two threads");
        let builder = builder.with_operators(domain).expect("operators");
        let mut session = graph.session(("X", &[4]), ("Y", &[4]), &[(DOMAIN, 1)], &builder).expect("a session");
        let mut run = |value: f32| -> Result<Vec<f32>> {
            let outputs = session.run(ort::inputs![Tensor::from_array(([4], vec![value; 4]))?])?;
            Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
        };
        assert_eq!(run(0.5).expect("a copy"), [0.5; 4]);
        let error = run(1.0).expect_err("a panic on the calling thread");
        assert!(error.to_string().contains("asked to panic here"), "{error}");
        let error = run(2.0).expect_err("a panic on the session's threads");
        assert!(error.to_string().contains("asked to panic there"), "{error}");
        assert_eq!(run(3.0).expect("a copy"), [3.0; 4]);
    }
}
