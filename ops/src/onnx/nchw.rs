//! The operator on `[N, C, H, W]` tensors.

use ort::Result;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType;

use super::NAME;
use super::guard::guarded;
use super::node::{INPUTS, Node, numbers, y_as_x};
use super::threads::{SessionThreads, or_all_cores};
use crate::nchw;

pub(super) struct ChannelEquilibrium;

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
        guarded(|| y_as_x(context))
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<NchwKernel> {
        guarded(|| NchwKernel::new(context))
    }
}

/// One node.
pub(super) struct NchwKernel {
    node: Node,
    threads: usize,
}

impl Kernel for NchwKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl NchwKernel {
    fn new(context: &KernelContext<'_>) -> Result<Self> {
        let node = Node::read(context)?;
        node.check_known_shapes(context)?;
        Ok(Self { node, threads: or_all_cores(0) })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let node = &self.node;
        let inputs = node.inputs(context)?;
        let (shape, parameters) = (inputs.shape(node)?, node.parameters(inputs.learned())?);
        let y = context.output(0, inputs.x().shape().clone())?;
        let mut y = y.ok_or_else(|| node.error("the output Y is missing"))?;
        // pointers, because Y may lie over X
        let (x, y) = (numbers(inputs.x())?.as_ptr(), y.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr());
        let threads = SessionThreads::new(context, self.threads);
        // SAFETY: both tensors are of `shape`; ONNX Runtime keeps them for the run, and gives Y its own memory or just
        // X's
        let outcome = unsafe { nchw::forward_raw(node.set, &shape, &parameters, x, y, &threads) };
        outcome.map_err(|error| node.error(error))
    }
}
