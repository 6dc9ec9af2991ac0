//! Convolutions on the runtime's blocked layout, domain `ai.cenet.cpu`, `BlockedConvolution`, version 1. Only graphs that the server has rewritten
//! hold it.
//!
//! Inputs are X (in rows for [`Tile::Stem`], as the runtime's own convolutions have pictures), the transformed filters (`[outputs, inputs, P, P]` by their
//! shape, P being the side of a [`Tile`], and inputs its planes; [`transformed`](crate::convolution::transformed)
//! tells how they lie), a bias, and an optional addend of Y's shape. Attributes are `block` (B, 8 or 16), `stride` (1 or 2, as the tile takes it), `pads` (as of ONNX's
//! `Conv`, whose dilations are 1 here) and `range` (2 numbers that results are clamped between; none where it is left out). Channels are counted with those that fill up the last block.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, Shape, TensorElementType, ValueType};
use ort::{Error, Result};

use super::blocked::block;
use super::guard::guarded;
use super::node::{input, named, numbers, tensor_shape};
use super::threads::{SessionThreads, or_all_cores};
use crate::InstructionSet;
use crate::convolution::{Convolution, Memory, Pictures, Tile, UNBOUNDED, forward_raw};

/// The operator's name in the domain of blocked tensors.
pub const NAME: &str = "BlockedConvolution";
/// The attribute that tells of the zeros around a picture: above, left of it, below, right of it.
pub const PADS_ATTRIBUTE: &str = "pads";
/// The attribute that tells how many pixels lie from one result to the next.
pub const STRIDE_ATTRIBUTE: &str = "stride";
/// The attribute that tells which results stay as they are.
pub const RANGE_ATTRIBUTE: &str = "range";

const FILTERS: usize = 1;
const BIAS: usize = 2;
const ADDEND: usize = 3;

pub(super) struct BlockedConvolution {
    /// Threads that an inference of the session uses; 0 means one a core.
    pub(super) threads: usize,
}

impl Operator for BlockedConvolution {
    type Kernel<'attr> = ConvolutionKernel;

    /// Y may lie over what is added.
    const INPLACES: &[(u32, u32)] = &[(ADDEND as u32, 0)];

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
        let required = (0..ADDEND).map(|_| OperatorInput::required(TensorElementType::Float32));
        required.chain([OperatorInput::optional(TensorElementType::Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> Result<()> {
        guarded(|| infer_shape(context))
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<ConvolutionKernel> {
        guarded(|| ConvolutionKernel::new(context, self.threads))
    }
}

fn infer_shape(context: &mut ShapeInferenceContext) -> Result<()> {
    let inputs = context.inputs();
    let [ValueType::Tensor { ty, shape, dimension_symbols }, filters, ..] = &inputs[..] else { return Ok(()) };
    let (&[batch, _, height, width], Some(&[outputs, _, side, _])) = (&**shape, tensor_shape(filters)) else {
        return Ok(());
    };
    let (pads, stride) = (context.attr::<Vec<i64>>(PADS_ATTRIBUTE)?, context.attr::<i64>(STRIDE_ATTRIBUTE)?);
    let tile = usize::try_from(side).ok().zip(usize::try_from(stride).ok());
    let tile = tile.and_then(|(side, stride)| Tile::of(side, stride));
    let (&[top, left, bottom, right], Some(tile)) = (&pads[..], tile) else { return Ok(()) };
    let reach = tile.filter_side() as i64 - 1;
    // what isn't known keeps its name, if it has the same length
    let same = |pads: i64| stride == 1 && pads == reach;
    let names = dimension_symbols.iter().zip([true, true, same(top + bottom), same(left + right)]);
    let dimension_symbols = names.map(|(name, same)| if same { name.clone() } else { String::new() }).collect();
    let result = |length: i64, pads: i64| {
        if length < 0 { length } else { ((length + pads - reach).max(0) + stride - 1) / stride }
    };
    let shape = Shape::new([batch, outputs, result(height, top + bottom), result(width, left + right)]);
    context.set_output(0, &ValueType::Tensor { ty: *ty, shape, dimension_symbols })
}

/// One node.
pub(super) struct ConvolutionKernel {
    name: String,
    convolution: Convolution,
    set: InstructionSet,
    threads: usize,
}

impl Kernel for ConvolutionKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl ConvolutionKernel {
    fn new(context: &KernelContext<'_>, threads: usize) -> Result<Self> {
        let name = context.node_name()?;
        let error = |message: &str| named(NAME, &name, message);
        let block = block(context).map_err(error)?;
        let filters = context.constant_input::<DynTensorValueType>(FILTERS)?;
        let stride = context.get::<i64>(STRIDE_ATTRIBUTE).and_then(|stride| usize::try_from(stride).ok());
        let stride = stride.unwrap_or(0);
        let (outputs, planes, tile) = match lengths(filters.shape()) {
            Some([outputs, planes, side, same]) if side == same => (outputs, planes, Tile::of(side, stride)),
            _ => (0, 0, None),
        };
        let tile = tile.ok_or_else(|| error("the filters' shape and the stride are of no tile"))?;
        let pads = lengths(&context.get::<Vec<i64>>(PADS_ATTRIBUTE).unwrap_or_default());
        let pads = pads.filter(|pads: &[usize; 4]| pads.iter().all(|&pad| pad <= tile.most_pads()));
        let pads = pads.ok_or_else(|| error("pads must be 4 numbers, each less than the filters' side"))?;
        let inputs = planes / tile.planes(1);
        let whole = planes == tile.planes(inputs) && inputs.is_multiple_of(tile.inputs_together(block));
        if !whole || !outputs.is_multiple_of(block) {
            return Err(error("the channels must fill whole blocks"));
        }
        let range = context.get::<Vec<f32>>(RANGE_ATTRIBUTE).unwrap_or_else(|| UNBOUNDED.to_vec());
        let &[low, high] = &range[..] else { return Err(error("the range must be 2 numbers")) };
        if low.is_nan() || high.is_nan() || low > high {
            return Err(error("the range must begin before it ends"));
        }
        let bias = context.constant_input::<DynTensorValueType>(BIAS)?;
        if lengths(bias.shape()) != Some([outputs]) {
            return Err(error("the bias must have a number for each output"));
        }
        let convolution = Convolution { block, tile, stride, inputs, outputs, pads, range: [low, high] };
        Ok(Self { name, convolution, set: InstructionSet::best(), threads: or_all_cores(threads) })
    }

    fn run(&self, context: &ComputeContext) -> Result<()> {
        let [x, filters, bias] = [0, FILTERS, BIAS].map(|index| input(context, index));
        let required = |input: Result<Option<_>>| input?.ok_or_else(|| self.error("an input is missing"));
        let (x, filters, bias) = (required(x)?, required(filters)?, required(bias)?);
        let convolution = &self.convolution;
        let (pictures, shape) = match lengths(x.shape()) {
            Some([count, channels, height, width]) if channels == convolution.inputs => {
                let pictures = Pictures { count, height, width };
                let [height, width] = convolution.results(pictures);
                (
                    pictures,
                    [count, convolution.outputs, height, width].map(usize::cast_signed).map(|length| length as i64),
                )
            }
            _ => return Err(self.error("X must have 4 axes and as many channels as the filters")),
        };
        let addend = input(context, ADDEND)?;
        if addend.as_ref().is_some_and(|addend| **addend.shape() != shape) {
            return Err(self.error("the addend has another shape than Y"));
        }
        let y = context.output(0, shape)?;
        let mut y = y.ok_or_else(|| self.error("the output Y is missing"))?;
        // pointers, because Y may lie over what is added
        let memory = Memory {
            x: numbers(&x)?.as_ptr(),
            filters: numbers(&filters)?.as_ptr(),
            bias: numbers(&bias)?.as_ptr(),
            addend: addend.as_ref().map(numbers).transpose()?.map_or(std::ptr::null(), <[f32]>::as_ptr),
            y: y.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr(),
        };
        let threads = SessionThreads::new(context, self.threads);
        // SAFETY: the tensors are of the sizes that the convolution has (the filters' and the bias' were checked when the kernel was made, they are
        // constant); ONNX Runtime keeps them for the run, and gives Y its own memory or just the addend's
        unsafe { forward_raw(self.set, convolution, pictures, memory, &threads) };
        Ok(())
    }

    fn error(&self, message: &str) -> Error {
        named(NAME, &self.name, message)
    }
}

/// As many lengths as asked for, none of them negative.
fn lengths<const COUNT: usize>(lengths: &[i64]) -> Option<[usize; COUNT]> {
    let lengths: Vec<_> = lengths.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<_>>()?;
    lengths.try_into().ok()
}
