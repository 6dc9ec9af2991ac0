//! The operator on the runtime's blocked layout, domain `ai.cenet.cpu`, `BlockedChannelEquilibrium`, version 1. Only graphs that the server has
//! rewritten hold it; no file that others see does.
//!
//! Inputs are those of the operator, and an optional seventh, `addend`, of X's shape. X is `[N, ceil(C / B) * B, H, W]` by its shape, and
//! `[N, ceil(C / B), H * W, B]` in memory. Attributes are those of the operator, `block` (B, 8 or 16) and `relu` (0 or 1).
//!
//! `ConvolvedChannelEquilibrium` is the same on what a 1x1 convolution makes of X, which has whole blocks of any number of channels then. It has two more
//! inputs, before the addend, both constant: the filters (`[outputs, inputs, 1, 1]` by their shape; [`transformed`](crate::convolution::transformed) tells how they lie) and
//! a bias.

use ort::Result;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, Shape as TensorShape, TensorElementType, ValueType};

use super::guard::guarded;
use super::node::{INPUTS, Inputs, Node, constants, input, numbers, tensor_shape, y_as_x};
use super::threads::{SessionThreads, or_all_cores};
use crate::blocked::{self, Memory, Packed, PointwiseMemory};
use crate::{InputShapes, InstructionSet, Shape};

/// The domain of the operator on blocked tensors.
pub const DOMAIN: &str = "ai.cenet.cpu";
/// The operator's name there.
pub const NAME: &str = "BlockedChannelEquilibrium";
/// The name of the operator that has a convolution before it.
pub const CONVOLVED_NAME: &str = "ConvolvedChannelEquilibrium";
/// The attribute that tells how many channels a block has.
pub const BLOCK_ATTRIBUTE: &str = "block";
/// The attribute that tells whether what is below zero becomes zero.
pub const RELU_ATTRIBUTE: &str = "relu";

/// The inputs that a convolution adds to those of the operator.
const FILTERS: usize = INPUTS;
const BIAS: usize = INPUTS + 1;

/// The operator; `CONVOLVED` with a convolution before it.
pub(super) struct BlockedChannelEquilibrium<const CONVOLVED: bool> {
    /// Threads that an inference of the session uses; 0 means one a core.
    pub(super) threads: usize,
}

/// The input that is added, after all others.
const fn addend(convolved: bool) -> usize {
    if convolved { BIAS + 1 } else { INPUTS }
}

impl<const CONVOLVED: bool> Operator for BlockedChannelEquilibrium<CONVOLVED> {
    type Kernel<'attr> = BlockedKernel<CONVOLVED>;

    /// Y may lie over X, unless all of X is needed for each of Y's channels.
    const INPLACES: &[(u32, u32)] = if CONVOLVED { &[] } else { &[(0, 0)] };

    fn name(&self) -> &str {
        if CONVOLVED { CONVOLVED_NAME } else { NAME }
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn execution_provider_type(&self) -> Option<&str> {
        Some("CPUExecutionProvider")
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = (0..addend(CONVOLVED)).map(|_| OperatorInput::required(TensorElementType::Float32));
        required.chain([OperatorInput::optional(TensorElementType::Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> Result<()> {
        guarded(|| if CONVOLVED { with_channels_of_filters(context) } else { y_as_x(context) })
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<BlockedKernel<CONVOLVED>> {
        guarded(|| BlockedKernel::new(context, self.threads))
    }
}

/// Y's shape is X's, with other channels.
fn with_channels_of_filters(context: &mut ShapeInferenceContext) -> Result<()> {
    let inputs = context.inputs();
    let (Some(ValueType::Tensor { ty, shape, dimension_symbols }), Some(filters)) =
        (inputs.first(), inputs.get(FILTERS))
    else {
        return Ok(());
    };
    let (&[batch, _, height, width], Some(&[outputs, ..])) = (&**shape, tensor_shape(filters)) else { return Ok(()) };
    let shape = TensorShape::new([batch, outputs, height, width]);
    context.set_output(0, &ValueType::Tensor { ty: *ty, shape, dimension_symbols: dimension_symbols.clone() })
}

/// Channels a block, as a node's attribute tells; else what is wrong with it. On another processor than the one that a file was planned for the runtime's
/// blocks may be others: what it gives would be taken for what it isn't.
pub(super) fn block(context: &KernelContext<'_>) -> std::result::Result<usize, &'static str> {
    let block = context.get::<i64>(BLOCK_ATTRIBUTE).and_then(|block| usize::try_from(block).ok());
    let block = block.filter(|block| matches!(block, 8 | 16)).ok_or("block must be 8 or 16")?;
    let of_the_runtime = if InstructionSet::Avx512.is_available() { 16 } else { 8 };
    if cfg!(target_arch = "x86_64") && block != of_the_runtime {
        return Err("it was planned for a processor whose blocks have another size: plan the model again on this one");
    }
    Ok(block)
}

/// Whether a node's attribute tells that what is below zero becomes zero.
pub(super) fn relu(context: &KernelContext<'_>) -> bool {
    context.get::<i64>(RELU_ATTRIBUTE).unwrap_or(0) != 0
}

/// One node.
pub(super) struct BlockedKernel<const CONVOLVED: bool> {
    node: Node,
    packed: Packed,
    block: usize,
    relu: bool,
    threads: usize,
    /// Outputs and inputs of the convolution.
    convolution: Option<[i64; 2]>,
}

impl<const CONVOLVED: bool> Kernel for BlockedKernel<CONVOLVED> {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl<const CONVOLVED: bool> BlockedKernel<CONVOLVED> {
    fn new(context: &KernelContext<'_>, threads: usize) -> Result<Self> {
        let node = Node::read(context)?;
        let (block, relu) = (block(context).map_err(|message| node.error(message))?, relu(context));
        let inputs = constants(context)?;
        let width = inputs[0].shape().last().and_then(|&width| usize::try_from(width).ok());
        let parameters = node.parameters(inputs.each_ref())?;
        let packed = Packed::new(&parameters, width.unwrap_or(0), block).map_err(|error| node.error(error))?;
        let convolution = CONVOLVED.then(|| convolution(context, &node, block)).transpose()?;
        Ok(Self { node, packed, block, relu, threads: or_all_cores(threads), convolution })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let node = &self.node;
        let inputs = node.inputs(context)?;
        let (shape, parameters) = (self.shape(&inputs)?, node.parameters(inputs.learned())?);
        let y_shape = self.y_shape(inputs.x().shape());
        let addend = input(context, addend(CONVOLVED))?;
        if addend.as_ref().is_some_and(|addend| **addend.shape() != *y_shape) {
            return Err(node.error("the addend has another shape than the result"));
        }
        let y = context.output(0, y_shape)?;
        let mut y = y.ok_or_else(|| node.error("the output Y is missing"))?;
        // pointers, because Y may lie over X
        let y = y.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr();
        let x = numbers(inputs.x())?.as_ptr();
        let addend = addend.as_ref().map(numbers).transpose()?.map_or(std::ptr::null(), <[f32]>::as_ptr);
        let required = |index| input(context, index)?.ok_or_else(|| node.error("an input is missing"));
        let (memory, pointwise) = match self.convolution {
            None => (Memory { x, addend, y }, None),
            Some([_, channels]) => {
                let (filters, bias) = (required(FILTERS)?, required(BIAS)?);
                let (filters, bias) = (numbers(&filters)?.as_ptr(), numbers(&bias)?.as_ptr());
                let inputs = usize::try_from(channels).unwrap_or(0);
                (Memory { x: y, addend, y }, Some(PointwiseMemory { x, inputs, filters, bias }))
            }
        };
        let threads = SessionThreads::new(context, self.threads);
        // SAFETY: all tensors have the result's shape, which is that of the blocks of `shape`; a convolution's input has the channels that its filters ask
        // for; ONNX Runtime keeps them for the run, and gives Y its own memory or, where there is no convolution, just X's
        let outcome = unsafe {
            blocked::forward_raw(node.set, &shape, &parameters, &self.packed, memory, pointwise, self.relu, &threads)
        };
        outcome.map_err(|error| node.error(error))
    }

    /// The shape of the result of an X of this shape.
    fn y_shape(&self, x: &[i64]) -> Vec<i64> {
        let mut shape = x.to_vec();
        if let (Some([outputs, _]), Some(channels)) = (self.convolution, shape.get_mut(1)) {
            *channels = outputs;
        }
        shape
    }

    /// The operator's sizes, of an X or a convolution's result whose last block is filled up.
    fn shape(&self, inputs: &Inputs<'_>) -> Result<Shape> {
        let shapes = inputs.shapes();
        if let Some([_, channels]) = self.convolution
            && shapes.x.get(1) != Some(&channels)
        {
            return Err(self.node.error(format!("X must have {channels} channels, its shape is {:?}", shapes.x)));
        }
        let mut x = self.y_shape(shapes.x);
        let channels = shapes.whitening.iter().take(2).product::<i64>();
        let filled = channels.cast_unsigned().next_multiple_of(self.block as u64).cast_signed();
        match x.get_mut(1) {
            Some(given) if *given == filled => *given = channels,
            _ => return Err(self.node.error(format!("there must be {filled} channels, the shape is {x:?}"))),
        }
        Shape::new(InputShapes { x: &x, ..shapes }).map_err(|error| self.node.error(error))
    }
}

/// Outputs and inputs of a node's convolution, checked.
fn convolution(context: &KernelContext<'_>, node: &Node, block: usize) -> Result<[i64; 2]> {
    let filters = context.constant_input::<DynTensorValueType>(FILTERS)?;
    let &[outputs, inputs, 1, 1] = &**filters.shape() else {
        return Err(node.error("the filters must have shape [outputs, inputs, 1, 1]"));
    };
    if [outputs, inputs].iter().any(|&count| count <= 0 || count.cast_unsigned() % block as u64 != 0) {
        return Err(node.error("the convolution's channels must fill whole blocks"));
    }
    let bias = context.constant_input::<DynTensorValueType>(BIAS)?;
    if **bias.shape() != [outputs] {
        return Err(node.error("the bias must have a number for each output"));
    }
    Ok([outputs, inputs])
}
