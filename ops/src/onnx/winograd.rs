//! Winograd's convolutions on the runtime's blocked layout, domain `ai.cenet.cpu`, `WinogradConvolution`, version 1. Only graphs that the server
//! has rewritten hold it.
//!
//! Inputs are X, the transformed filters (`[outputs, inputs, P, P]` by their shape, P being 4 or 6; [`transformed`](crate::winograd::transformed)
//! tells how they lie), a bias, and an optional addend of Y's shape. Attributes are `block` (B, 8 or 16), `pads` (as of ONNX's `Conv`, whose strides and
//! dilations are 1 here) and `relu` (0 or 1). Channels are counted with those that fill up the last block.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, Shape, TensorElementType, ValueType};
use ort::{Error, Result};

use super::blocked::{block, relu};
use super::guard::guarded;
use super::node::{input, named, numbers, tensor_shape};
use super::threads::{SessionThreads, or_all_cores};
use crate::InstructionSet;
use crate::winograd::{Convolution, MOST_PADS, Memory, Pictures, Tile, forward_raw};

/// The operator's name in the domain of blocked tensors.
pub const NAME: &str = "WinogradConvolution";
/// The attribute that tells of the zeros around a picture: above, left of it, below, right of it.
pub const PADS_ATTRIBUTE: &str = "pads";

const FILTERS: usize = 1;
const BIAS: usize = 2;
const ADDEND: usize = 3;

pub(super) struct WinogradConvolution {
    /// Threads that an inference of the session uses; 0 means one a core.
    pub(super) threads: usize,
}

impl Operator for WinogradConvolution {
    type Kernel<'attr> = WinogradKernel;

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

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<WinogradKernel> {
        guarded(|| WinogradKernel::new(context, self.threads))
    }
}

fn infer_shape(context: &mut ShapeInferenceContext) -> Result<()> {
    let inputs = context.inputs();
    let [ValueType::Tensor { ty, shape, dimension_symbols }, filters, ..] = &inputs[..] else { return Ok(()) };
    let (&[batch, _, height, width], Some(&[outputs, ..])) = (&**shape, tensor_shape(filters)) else { return Ok(()) };
    let pads = context.attr::<Vec<i64>>(PADS_ATTRIBUTE)?;
    let &[top, left, bottom, right] = &pads[..] else { return Ok(()) };
    // what isn't known keeps its name, if it has the same length
    let names = dimension_symbols.iter().zip([0, 0, top + bottom - 2, left + right - 2]);
    let dimension_symbols =
        names.map(|(name, change)| if change == 0 { name.clone() } else { String::new() }).collect();
    let result = |length: i64, pads: i64| if length < 0 { length } else { (length + pads - 2).max(0) };
    let shape = Shape::new([batch, outputs, result(height, top + bottom), result(width, left + right)]);
    context.set_output(0, &ValueType::Tensor { ty: *ty, shape, dimension_symbols })
}

/// One node.
pub(super) struct WinogradKernel {
    name: String,
    convolution: Convolution,
    set: InstructionSet,
    threads: usize,
}

impl Kernel for WinogradKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<()> {
        guarded(|| self.run(context))
    }
}

impl WinogradKernel {
    fn new(context: &KernelContext<'_>, threads: usize) -> Result<Self> {
        let name = context.node_name()?;
        let error = |message: &str| named(NAME, &name, message);
        let block = block(context).map_err(error)?;
        let pads = lengths(&context.get::<Vec<i64>>(PADS_ATTRIBUTE).unwrap_or_default());
        let pads = pads.filter(|pads: &[usize; 4]| pads.iter().all(|&pad| pad <= MOST_PADS));
        let pads = pads.ok_or_else(|| error("pads must be 4 numbers from 0 to 2"))?;
        let filters = context.constant_input::<DynTensorValueType>(FILTERS)?;
        let (outputs, inputs, tile) = match lengths(filters.shape()) {
            Some([outputs, inputs, 4, 4]) => (outputs, inputs, Tile::Two),
            Some([outputs, inputs, 6, 6]) => (outputs, inputs, Tile::Four),
            _ => return Err(error("the filters must have shape [outputs, inputs, P, P], P being 4 or 6")),
        };
        if !outputs.is_multiple_of(block) || !inputs.is_multiple_of(block) {
            return Err(error("the channels must fill whole blocks"));
        }
        let bias = context.constant_input::<DynTensorValueType>(BIAS)?;
        if lengths(bias.shape()) != Some([outputs]) {
            return Err(error("the bias must have a number for each output"));
        }
        let convolution = Convolution { block, tile, inputs, outputs, pads, relu: relu(context) };
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
