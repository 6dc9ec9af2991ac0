//! What the operator's nodes share, whatever layout they work on: attributes, inputs, and errors that name the node.

use ort::operator::{ComputeContext, KernelContext, ShapeInferenceContext};
use ort::value::{DynTensorValueType, ValueRef, ValueType};
use ort::{Error, Result};

use super::NAME;
use crate::{InputShapes, InstructionSet, Parameters, Shape};

/// Inputs of the operator, X first.
pub(super) const INPUTS: usize = 6;
const DEFAULT_EPSILON: f32 = 1e-5;

/// One node's name and attributes, and how it is to be run.
pub(super) struct Node {
    name: String,
    pub(super) gate_scale: f32,
    pub(super) epsilon: f32,
    pub(super) set: InstructionSet,
}

impl Node {
    /// Reads the node's attributes.
    pub(super) fn read(context: &KernelContext<'_>) -> Result<Self> {
        let name = context.node_name()?;
        let gate_scale =
            context.get("gate_scale").ok_or_else(|| named(NAME, &name, "the attribute gate_scale is missing"))?;
        let epsilon = context.get("epsilon").unwrap_or(DEFAULT_EPSILON);
        if !f32::is_finite(gate_scale) {
            return Err(named(NAME, &name, "gate_scale is no finite number: the block was exported untrained"));
        }
        if epsilon.is_nan() || epsilon < 0.0 {
            return Err(named(NAME, &name, "epsilon is less than 0 or no number"));
        }
        Ok(Self { name, gate_scale, epsilon, set: InstructionSet::best() })
    }

    /// Checks what is known of the inputs' shapes before any run.
    pub(super) fn check_known_shapes(&self, context: &KernelContext<'_>) -> Result<()> {
        let inputs = context.inputs()?;
        let shapes: Vec<_> = inputs.iter().filter_map(|input| tensor_shape(input.dtype())).collect();
        match <[&[i64]; INPUTS]>::try_from(shapes) {
            Ok(shapes) => input_shapes(shapes).check().map_err(|error| self.error(error)),
            Err(_) => Ok(()),
        }
    }

    /// An error of this node.
    #[expect(clippy::needless_pass_by_value, reason = "a failure is handed over")]
    pub(super) fn error(&self, message: impl ToString) -> Error {
        named(NAME, &self.name, &message.to_string())
    }

    /// The tensors of a run.
    pub(super) fn inputs<'c>(&self, context: &'c ComputeContext) -> Result<Inputs<'c>> {
        let input = |index| input(context, index)?.ok_or_else(|| self.error("an input is missing"));
        Ok(Inputs([input(0)?, input(1)?, input(2)?, input(3)?, input(4)?, input(5)?]))
    }

    /// What the node has learned, out of its inputs after X.
    pub(super) fn parameters<'t>(&self, learned: [&'t Tensor<'_>; INPUTS - 1]) -> Result<Parameters<'t>> {
        let [whitening, fc1, ln_scale, ln_bias, fc2] = learned;
        Ok(Parameters {
            whitening: numbers(whitening)?,
            fc1: numbers(fc1)?,
            ln_scale: numbers(ln_scale)?,
            ln_bias: numbers(ln_bias)?,
            fc2: numbers(fc2)?,
            gate_scale: self.gate_scale,
            epsilon: self.epsilon,
        })
    }
}

/// Input `index` of a run, where it is given.
pub(super) fn input(context: &ComputeContext, index: usize) -> Result<Option<Tensor<'_>>> {
    context.input(index)?.map(ValueRef::downcast::<DynTensorValueType>).transpose()
}

/// A tensor of a run.
pub(super) type Tensor<'c> = ValueRef<'c, DynTensorValueType>;

/// The operator's inputs in a run, X first.
pub(super) struct Inputs<'c>([Tensor<'c>; INPUTS]);

impl<'c> Inputs<'c> {
    pub(super) fn x(&self) -> &Tensor<'c> {
        &self.0[0]
    }

    /// All but X.
    pub(super) fn learned(&self) -> [&Tensor<'c>; INPUTS - 1] {
        let [_, learned @ ..] = self.0.each_ref();
        learned
    }

    /// The shapes of all.
    pub(super) fn shapes(&self) -> InputShapes<'_> {
        input_shapes(self.0.each_ref().map(|tensor| &**tensor.shape()))
    }

    /// The operator's sizes.
    pub(super) fn shape(&self, node: &Node) -> Result<Shape> {
        Shape::new(self.shapes()).map_err(|error| node.error(error))
    }
}

/// What ONNX Runtime knows of a tensor's shape, if it knows its rank.
pub(super) fn tensor_shape(value_type: &ValueType) -> Option<&[i64]> {
    match value_type {
        // an unknown rank comes as none at all
        ValueType::Tensor { shape, .. } if !shape.is_empty() => Some(shape),
        _ => None,
    }
}

/// Y's shape is X's.
pub(super) fn y_as_x(context: &mut ShapeInferenceContext) -> Result<()> {
    match context.inputs().first() {
        Some(x) if tensor_shape(x).is_some() => context.set_output(0, x),
        _ => Ok(()),
    }
}

/// The inputs after X, of a node for which they must be constants.
pub(super) fn constants<'c>(context: &KernelContext<'c>) -> Result<[Tensor<'c>; INPUTS - 1]> {
    let constant = |index| context.constant_input::<DynTensorValueType>(index);
    Ok([constant(1)?, constant(2)?, constant(3)?, constant(4)?, constant(5)?])
}

pub(super) fn input_shapes([x, whitening, fc1, ln_scale, ln_bias, fc2]: [&[i64]; INPUTS]) -> InputShapes<'_> {
    InputShapes { x, whitening, fc1, ln_scale, ln_bias, fc2 }
}

pub(super) fn numbers<'t>(tensor: &'t Tensor<'_>) -> Result<&'t [f32]> {
    Ok(tensor.try_extract_tensor::<f32>()?.1)
}

/// An error of a node of `operator`.
pub(super) fn named(operator: &str, node: &str, message: &str) -> Error {
    Error::new(format!("{operator} {node:?}: {message}"))
}
