//! The operator as ONNX Runtime knows it: domain `ai.cenet`, `ChannelEquilibrium`, version 1.
//!
//! Shapes are checked when a session is made, as far as they are known then, and before every run. No panic leaves a
//! kernel: it becomes an error of the run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{TensorElementType, ValueType};
use ort::{Error, Result};

use crate::{InputShapes, Parallel, Parameters, Shape, nchw};

/// The operator's domain.
pub const DOMAIN: &str = "ai.cenet";
/// The operator's name in its domain.
pub const NAME: &str = "ChannelEquilibrium";

const INPUTS: usize = 6;
const DEFAULT_EPSILON: f32 = 1e-5;

/// The domain with its operator, to be registered with a session. Once it is, the session keeps the operator's nodes;
/// without it, ONNX Runtime inlines the function body that the model carries.
///
/// # Errors
/// When ONNX Runtime can't make a domain.
pub fn operator_domain() -> Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(ChannelEquilibrium)
}

struct ChannelEquilibrium;

impl Operator for ChannelEquilibrium {
    type Kernel<'attr> = NchwKernel;

    fn name(&self) -> &str {
        NAME
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn execution_provider_type(&self) -> Option<&str> {
        Some("CPUExecutionProvider")
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        (0..INPUTS).map(|_| OperatorInput::required(TensorElementType::Float32))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> Result<()> {
        match context.inputs().first() {
            Some(x) => context.set_output(0, x),
            None => Err(Error::new("ChannelEquilibrium: the input X is missing")),
        }
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<NchwKernel> {
        guarded(|| {
            let node = context.node_name()?;
            let named = |message: String| Error::new(format!("{NAME} {node:?}: {message}"));
            let inputs = context.inputs()?;
            let shapes: Vec<_> = inputs.iter().filter_map(|input| tensor_shape(input.dtype())).collect();
            if let Ok(shapes) = <[&[i64]; INPUTS]>::try_from(shapes) {
                input_shapes(shapes).check().map_err(|error| named(error.to_string()))?;
            }
            let gate_scale =
                context.get("gate_scale").ok_or_else(|| named("the attribute gate_scale is missing".into()))?;
            Ok(NchwKernel { node, gate_scale, epsilon: context.get("epsilon").unwrap_or(DEFAULT_EPSILON) })
        })
    }
}

/// What ONNX Runtime knows of a tensor's shape, if it knows its rank.
fn tensor_shape(value_type: &ValueType) -> Option<&[i64]> {
    match value_type {
        ValueType::Tensor { shape, .. } if !shape.is_empty() => Some(shape),
        _ => None,
    }
}

fn input_shapes([x, whitening, fc1, ln_scale, ln_bias, fc2]: [&[i64]; INPUTS]) -> InputShapes<'_> {
    InputShapes { x, whitening, fc1, ln_scale, ln_bias, fc2 }
}

/// One node.
struct NchwKernel {
    node: String,
    gate_scale: f32,
    epsilon: f32,
}

impl Kernel for NchwKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl NchwKernel {
    fn run(&self, context: &ComputeContext) -> Result<()> {
        let named = |message: String| Error::new(format!("{NAME} {:?}: {message}", self.node));
        let inputs: Vec<_> = (0..INPUTS).map(|index| context.input(index)).collect::<Result<_>>()?;
        let tensors: Vec<_> =
            inputs.iter().flatten().map(|input| input.try_extract_tensor::<f32>()).collect::<Result<_>>()?;
        let tensors = <[_; INPUTS]>::try_from(tensors).map_err(|_| named("an input is missing".into()))?;
        let shape = Shape::new(input_shapes(tensors.map(|(shape, _)| &**shape)));
        let shape = shape.map_err(|error| named(error.to_string()))?;
        let [(x_shape, x), (_, whitening), (_, fc1), (_, ln_scale), (_, ln_bias), (_, fc2)] = tensors;
        let mut output = context.output(0, x_shape.iter().copied().collect::<Vec<_>>())?;
        let output = output.as_mut().ok_or_else(|| named("the output Y is missing".into()))?;
        let (_, y) = output.try_extract_tensor_mut::<f32>()?;
        let (gate_scale, epsilon) = (self.gate_scale, self.epsilon);
        let parameters = Parameters { whitening, fc1, ln_scale, ln_bias, fc2, gate_scale, epsilon };
        nchw::forward(&shape, &parameters, x, y, &SessionThreads(context)).map_err(|error| named(error.to_string()))
    }
}

/// The session's own threads.
struct SessionThreads<'a>(&'a ComputeContext);

impl Parallel for SessionThreads<'_> {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // a panic must not unwind into ONNX Runtime's threads: the first is kept, and goes on from here
        let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        let started = self.0.par_for(tasks, tasks, |index| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(index)))
                && let Ok(mut first) = panic.lock()
            {
                first.get_or_insert(payload);
            }
        });
        if let Some(payload) = panic.into_inner().ok().flatten() {
            resume_unwind(payload);
        }
        if let Err(error) = started {
            panic!("ONNX Runtime's threads can't be used: {error}");
        }
    }
}

/// Runs `work`; a panic becomes an error and never unwinds into C.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        Err(Error::new(format!("{NAME} panicked: {}", message.unwrap_or("without a message"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded::<()>(|| panic!("a kernel's defect {}", 7)).expect_err("it panicked");
        assert!(error.message().contains("a kernel's defect 7"), "{error}");
        let error = guarded::<()>(|| panic!("plain")).expect_err("it panicked");
        assert!(error.message().contains("plain"), "{error}");
        assert!(guarded(|| Ok(7)).is_ok_and(|value| value == 7));
    }
}
