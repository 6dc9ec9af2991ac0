//! The operator on the runtime's blocked layout, domain `ai.cenet.cpu`, `BlockedChannelEquilibrium`, version 1. Only graphs that the server has
//! rewritten hold it; no file that others see does.
//!
//! Inputs are those of the operator, and an optional seventh, `addend`, of X's shape. X is `[N, ceil(C / B) * B, H, W]` by its shape, and
//! `[N, ceil(C / B), H * W, B]` in memory. Attributes are those of the operator, `block` (B, 8 or 16) and `relu` (0 or 1).

use ort::Result;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::TensorElementType;

use super::guard::guarded;
use super::node::{INPUTS, Inputs, Node, constants, input, numbers, y_as_x};
use super::threads::{SessionThreads, or_all_cores};
use crate::blocked::{self, Memory, Packed};
use crate::{InputShapes, Shape};

/// The domain of the operator on blocked tensors.
pub const DOMAIN: &str = "ai.cenet.cpu";
/// The operator's name there.
pub const NAME: &str = "BlockedChannelEquilibrium";
/// The attribute that tells how many channels a block has.
pub const BLOCK_ATTRIBUTE: &str = "block";
/// The attribute that tells whether what is below zero becomes zero.
pub const RELU_ATTRIBUTE: &str = "relu";

/// The input that is added, after those of the operator.
const ADDEND: usize = INPUTS;

pub(super) struct BlockedChannelEquilibrium {
    /// Threads that an inference of the session uses; 0 means one a core.
    pub(super) threads: usize,
}

impl Operator for BlockedChannelEquilibrium {
    type Kernel<'attr> = BlockedKernel;

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
        let required = (0..INPUTS).map(|_| OperatorInput::required(TensorElementType::Float32));
        required.chain([OperatorInput::optional(TensorElementType::Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> Result<()> {
        guarded(|| y_as_x(context))
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<BlockedKernel> {
        guarded(|| BlockedKernel::new(context, self.threads))
    }
}

/// Channels a block, as a node's attribute tells; else what is wrong with it.
pub(super) fn block(context: &KernelContext<'_>) -> std::result::Result<usize, &'static str> {
    let block = context.get::<i64>(BLOCK_ATTRIBUTE).and_then(|block| usize::try_from(block).ok());
    block.filter(|block| matches!(block, 8 | 16)).ok_or("block must be 8 or 16")
}

/// Whether a node's attribute tells that what is below zero becomes zero.
pub(super) fn relu(context: &KernelContext<'_>) -> bool {
    context.get::<i64>(RELU_ATTRIBUTE).unwrap_or(0) != 0
}

/// One node.
pub(super) struct BlockedKernel {
    node: Node,
    packed: Packed,
    block: usize,
    relu: bool,
    threads: usize,
}

impl Kernel for BlockedKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl BlockedKernel {
    fn new(context: &KernelContext<'_>, threads: usize) -> Result<Self> {
        let node = Node::read(context)?;
        let (block, relu) = (block(context).map_err(|message| node.error(message))?, relu(context));
        let inputs = constants(context)?;
        let width = inputs[0].shape().last().and_then(|&width| usize::try_from(width).ok());
        let parameters = node.parameters(inputs.each_ref())?;
        let packed = Packed::new(&parameters, width.unwrap_or(0), block).map_err(|error| node.error(error))?;
        Ok(Self { node, packed, block, relu, threads: or_all_cores(threads) })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let node = &self.node;
        let inputs = node.inputs(context)?;
        let (shape, parameters) = (self.shape(&inputs)?, node.parameters(inputs.learned())?);
        let x_shape = inputs.x().shape();
        let addend = input(context, ADDEND)?;
        if addend.as_ref().is_some_and(|addend| addend.shape() != x_shape) {
            return Err(node.error("the addend has another shape than X"));
        }
        let y = context.output(0, x_shape.clone())?;
        let mut y = y.ok_or_else(|| node.error("the output Y is missing"))?;
        // pointers, because Y may lie over X
        let memory = Memory {
            x: numbers(inputs.x())?.as_ptr(),
            addend: addend.as_ref().map(numbers).transpose()?.map_or(std::ptr::null(), <[f32]>::as_ptr),
            y: y.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr(),
        };
        let threads = SessionThreads::new(context, self.threads);
        // SAFETY: all tensors have X's shape, which is that of the blocks of `shape`; ONNX Runtime keeps them for the run, and gives Y its
        // own memory or just X's
        let outcome =
            unsafe { blocked::forward_raw(node.set, &shape, &parameters, &self.packed, memory, self.relu, &threads) };
        outcome.map_err(|error| node.error(error))
    }

    /// The operator's sizes, of an X whose last block is filled up.
    fn shape(&self, inputs: &Inputs<'_>) -> Result<Shape> {
        let shapes = inputs.shapes();
        let mut x = shapes.x.to_vec();
        let channels = shapes.whitening.iter().take(2).product::<i64>();
        let filled = channels.cast_unsigned().next_multiple_of(self.block as u64).cast_signed();
        match x.get_mut(1) {
            Some(given) if *given == filled => *given = channels,
            _ => return Err(self.node.error(format!("X must have {filled} channels, its shape is {:?}", shapes.x))),
        }
        Shape::new(InputShapes { x: &x, ..shapes }).map_err(|error| self.node.error(error))
    }
}
