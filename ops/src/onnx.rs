//! The operator as ONNX Runtime knows it: domain `ai.cenet`, `ChannelEquilibrium`, version 1.
//!
//! Shapes are checked when a session is made, as far as they are known then, and before every run; an error names the
//! node. Work runs on the session's own threads, and Y takes X's memory where nobody else reads X. No panic leaves a
//! kernel: it becomes an error of the run.

#[cfg(feature = "assignment")]
mod assignment;
mod guard;
mod threads;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef, ValueType};
use ort::{Error, Result};

#[cfg(feature = "assignment")]
pub use assignment::{assignment, record_assignment};

use crate::{InputShapes, InstructionSet, Parameters, Shape, nchw};
use guard::guarded;
use threads::SessionThreads;

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

/// To be held while a session with the operator is made: ONNX Runtime (1.32 and before) looks for the domain in a table of
/// the process and adds it in two steps, so that of two sessions made at once one can fail with "domain is already exist".
pub fn session_creation() -> MutexGuard<'static, ()> {
    static CREATION: Mutex<()> = Mutex::new(());
    CREATION.lock().unwrap_or_else(PoisonError::into_inner)
}

struct ChannelEquilibrium;

impl Operator for ChannelEquilibrium {
    type Kernel<'attr> = NchwKernel;

    /// Y may lie over X.
    const INPLACES: &[(u32, u32)] = &[(0, 0)];

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
        guarded(|| match context.inputs().first() {
            Some(x) if tensor_shape(x).is_some() => context.set_output(0, x),
            _ => Ok(()),
        })
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<NchwKernel> {
        guarded(|| NchwKernel::new(context))
    }
}

/// What ONNX Runtime knows of a tensor's shape, if it knows its rank.
fn tensor_shape(value_type: &ValueType) -> Option<&[i64]> {
    match value_type {
        // an unknown rank comes as none at all
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
    set: InstructionSet,
    threads: usize,
}

impl Kernel for NchwKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl NchwKernel {
    fn new(context: &KernelContext<'_>) -> Result<Self> {
        let node = context.node_name()?;
        let inputs = context.inputs()?;
        let shapes: Vec<_> = inputs.iter().filter_map(|input| tensor_shape(input.dtype())).collect();
        if let Ok(shapes) = <[&[i64]; INPUTS]>::try_from(shapes) {
            input_shapes(shapes).check().map_err(|error| named(&node, &error.to_string()))?;
        }
        let gate_scale =
            context.get("gate_scale").ok_or_else(|| named(&node, "the attribute gate_scale is missing"))?;
        let epsilon = context.get("epsilon").unwrap_or(DEFAULT_EPSILON);
        if !f32::is_finite(gate_scale) {
            return Err(named(&node, "gate_scale is no finite number: the block was exported untrained"));
        }
        if epsilon.is_nan() || epsilon < 0.0 {
            return Err(named(&node, "epsilon is less than 0 or no number"));
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { node, gate_scale, epsilon, set: InstructionSet::best(), threads })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let [x, whitening, fc1, ln_scale, ln_bias, fc2] = self.inputs(context)?;
        let tensors = [&x, &whitening, &fc1, &ln_scale, &ln_bias, &fc2];
        let shape = Shape::new(input_shapes(tensors.map(|tensor| &**tensor.shape())));
        let shape = shape.map_err(|error| named(&self.node, &error.to_string()))?;
        let parameters = Parameters {
            whitening: numbers(&whitening)?,
            fc1: numbers(&fc1)?,
            ln_scale: numbers(&ln_scale)?,
            ln_bias: numbers(&ln_bias)?,
            fc2: numbers(&fc2)?,
            gate_scale: self.gate_scale,
            epsilon: self.epsilon,
        };
        let y = context.output(0, x.shape().clone())?;
        let mut y = y.ok_or_else(|| named(&self.node, "the output Y is missing"))?;
        // pointers, because Y may lie over X
        let (x, y) = (numbers(&x)?.as_ptr(), y.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr());
        // SAFETY: both tensors are of `shape`; ONNX Runtime keeps them for the run, and gives Y its own memory or just
        // X's
        let outcome = unsafe {
            nchw::forward_raw(self.set, &shape, &parameters, x, y, &SessionThreads::new(context, self.threads))
        };
        outcome.map_err(|error| named(&self.node, &error.to_string()))
    }

    fn inputs<'c>(&self, context: &'c ComputeContext) -> Result<[ValueRef<'c, DynTensorValueType>; INPUTS]> {
        let input = |index| {
            let value = context.input(index)?.ok_or_else(|| named(&self.node, "an input is missing"))?;
            value.downcast::<DynTensorValueType>()
        };
        Ok([input(0)?, input(1)?, input(2)?, input(3)?, input(4)?, input(5)?])
    }
}

fn numbers<'t>(tensor: &'t ValueRef<'_, DynTensorValueType>) -> Result<&'t [f32]> {
    Ok(tensor.try_extract_tensor::<f32>()?.1)
}

fn named(node: &str, message: &str) -> Error {
    Error::new(format!("{NAME} {node:?}: {message}"))
}
