//! The operator on `[N, C, H, W]` tensors in a GPU's memory.

use std::ptr::{NonNull, null_mut};

use ort::Result;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, TensorElementType};

use super::NAME;
use super::guard::guarded;
use super::node::{INPUTS, Node, Tensor, y_as_x};
use crate::cuda::{DeviceTensors, Kernels};

pub(super) struct CudaChannelEquilibrium;

impl Operator for CudaChannelEquilibrium {
    type Kernel<'attr> = CudaKernel;

    fn name(&self) -> &str {
        NAME
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn execution_provider_type(&self) -> Option<&str> {
        Some("CUDAExecutionProvider")
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

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<CudaKernel> {
        guarded(|| {
            let node = Node::read(context)?;
            node.check_known_shapes(context)?;
            Ok(CudaKernel { node, kernels: None })
        })
    }
}

/// One node.
pub(super) struct CudaKernel {
    node: Node,
    /// From the first run on: only a run has CUDA's context.
    kernels: Option<(usize, Kernels)>,
}

impl Kernel for CudaKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl CudaKernel {
    fn run(&mut self, context: &ComputeContext) -> Result<()> {
        let inputs = self.node.inputs(context)?;
        let shape = inputs.shape(&self.node)?;
        let y = context.output(0, inputs.x().shape().clone())?;
        let y = y.ok_or_else(|| self.node.error("the output Y is missing"))?;
        let y = y.downcast::<DynTensorValueType>()?;
        let stream = context.stream()?.map_or(null_mut(), NonNull::as_ptr);
        let kernels = match self.kernels {
            Some((width, kernels)) if width == shape.group_width => kernels,
            _ => Kernels::of(shape.group_width).map_err(|error| self.node.error(error))?,
        };
        self.kernels = Some((shape.group_width, kernels));
        let address = |tensor: &Tensor<'_>| tensor.data_ptr().cast::<f32>();
        let [whitening, fc1, ln_scale, ln_bias, fc2] = inputs.learned().map(address);
        let (x, y) = (address(inputs.x()), y.data_ptr().cast::<f32>().cast_mut());
        let tensors = DeviceTensors { x, whitening, fc1, ln_scale, ln_bias, fc2, y };
        // SAFETY: ONNX Runtime has put float tensors of these shapes into the device's memory, keeps them until the stream has passed, and
        // wasn't told that Y may lie over X; its thread has the device's context
        let launched = unsafe { kernels.forward(&shape, &tensors, [self.node.gate_scale, self.node.epsilon], stream) };
        launched.map_err(|error| self.node.error(error))
    }
}
