//! The operator between 8-bit tensors, domain `ai.cenet.cpu`, `QuantizedChannelEquilibrium`, version 1. Only graphs that the server has
//! rewritten hold it; no file that others see does.
//!
//! Inputs are those of the operator, and an optional seventh, `residual`, of X's shape. X, the residual and Y are uint8, `[N, H, W, C]`.
//! Attributes are those of the operator; `x_scale`, `x_zero_point`, the same of `y` and, where there is one, of `residual`; and `relu`
//! (0 or 1).

use ort::Result;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType;

use super::blocked::relu;
use super::guard::guarded;
use super::node::{INPUTS, Inputs, Node, Tensor, constants, input, y_as_x};
use super::threads::{SessionThreads, or_all_cores};
use crate::quantized::{Block, Edges, Linear, RawTensors};
use crate::{InputShapes, Shape};

/// The operator's name in the domain of rewritten graphs.
pub const NAME: &str = "QuantizedChannelEquilibrium";

/// The input that is added, after those of the operator.
const RESIDUAL: usize = INPUTS;

pub(super) struct QuantizedChannelEquilibrium {
    /// Threads that an inference of the session uses; 0 means one a core.
    pub(super) threads: usize,
}

impl Operator for QuantizedChannelEquilibrium {
    type Kernel<'attr> = QuantizedKernel;

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
        let parameters = (1..INPUTS).map(|_| OperatorInput::required(TensorElementType::Float32));
        let residual = OperatorInput::optional(TensorElementType::Uint8);
        [OperatorInput::required(TensorElementType::Uint8)].into_iter().chain(parameters).chain([residual])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Uint8)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> Result<()> {
        guarded(|| y_as_x(context))
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<QuantizedKernel> {
        guarded(|| QuantizedKernel::new(context, self.threads))
    }
}

/// One node.
pub(super) struct QuantizedKernel {
    node: Node,
    block: Block,
    adds: bool,
    threads: usize,
}

impl Kernel for QuantizedKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl QuantizedKernel {
    fn new(context: &KernelContext<'_>, threads: usize) -> Result<Self> {
        let node = Node::read(context)?;
        let adds = context.inputs()?.len() > RESIDUAL;
        let edges = Edges {
            x: linear(&node, context, "x")?,
            y: linear(&node, context, "y")?,
            residual: adds.then(|| linear(&node, context, "residual")).transpose()?,
            relu: relu(context),
        };
        let block = block(&node, context, &edges)?;
        Ok(Self { node, block, adds, threads: or_all_cores(threads) })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let node = &self.node;
        let inputs = node.inputs(context)?;
        let shape = self.shape(&inputs)?;
        let x_shape = inputs.x().shape();
        let residual = if self.adds { input(context, RESIDUAL)? } else { None };
        if self.adds && residual.as_ref().is_none_or(|residual| residual.shape() != x_shape) {
            return Err(node.error("the residual is missing or has another shape than X"));
        }
        let y = context.output(0, x_shape.clone())?;
        let mut y = y.ok_or_else(|| node.error("the output Y is missing"))?;
        // pointers, because Y may lie over X
        let tensors = RawTensors {
            x: bytes(inputs.x())?.as_ptr(),
            residual: residual.as_ref().map(bytes).transpose()?.map_or(std::ptr::null(), <[u8]>::as_ptr),
            y: y.try_extract_tensor_mut::<u8>()?.1.as_mut_ptr(),
        };
        let threads = SessionThreads::new(context, self.threads);
        // SAFETY: all tensors are of `shape`; ONNX Runtime keeps them for the run, and gives Y its own memory or just X's
        let outcome = unsafe { self.block.forward_raw(&shape, tensors, &threads) };
        outcome.map_err(|error| node.error(error))
    }

    /// The operator's sizes, of an X whose channels are last.
    fn shape(&self, inputs: &Inputs<'_>) -> Result<Shape> {
        let shapes = inputs.shapes();
        let x = match *shapes.x {
            [batch, height, width, channels] => [batch, channels, height, width],
            _ => return Err(self.node.error(format!("X must have 4 axes, its shape is {:?}", shapes.x))),
        };
        Shape::new(InputShapes { x: &x, ..shapes }).map_err(|error| self.node.error(error))
    }
}

/// The block of a node, whose parameters must be constants.
fn block(node: &Node, context: &KernelContext<'_>, edges: &Edges) -> Result<Block> {
    let inputs = constants(context)?;
    let lengths: Vec<_> = inputs[0].shape().iter().filter_map(|&length| usize::try_from(length).ok()).collect();
    let [groups, group_width, _] = lengths[..] else { return Err(node.error("whitening must have 3 axes")) };
    let parameters = node.parameters(inputs.each_ref())?;
    let shape = Shape { batch: 1, groups, group_width, pixels: 2, hidden: parameters.ln_scale.len() };
    Block::new(node.set, &shape, &parameters, edges).map_err(|error| node.error(error))
}

/// A tensor's scale and zero point.
fn linear(node: &Node, context: &KernelContext<'_>, tensor: &str) -> Result<Linear> {
    let scale = context.get::<f32>(format!("{tensor}_scale")).filter(|scale| scale.is_finite() && *scale > 0.0);
    let zero_point = context.get::<i64>(format!("{tensor}_zero_point")).and_then(|number| u8::try_from(number).ok());
    match (scale, zero_point) {
        (Some(scale), Some(zero_point)) => Ok(Linear { scale, zero_point }),
        _ => Err(node.error(format!("{tensor} has no scale above 0 or no zero point of 8 bits"))),
    }
}

fn bytes<'t>(tensor: &'t Tensor<'_>) -> Result<&'t [u8]> {
    Ok(tensor.try_extract_tensor::<u8>()?.1)
}
