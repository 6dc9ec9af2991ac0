//! What is asked and what is answered, in tensors.

use super::Tensor;
use crate::admission::Priority;
use crate::request::Terms;

/// Tensors for one model.
#[derive(Debug)]
pub struct TensorRequest {
    /// The model's name.
    pub model: String,
    /// Its version; its default version when absent.
    pub version: Option<String>,
    /// The caller's own name for the request, given back.
    pub id: String,
    /// What the model is given.
    pub inputs: Vec<Tensor>,
    /// What is wanted of its outputs; all when empty.
    pub outputs: Vec<RequestedOutput>,
    /// How long it may take, how much it matters.
    pub terms: Terms,
}

/// An output that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// Instead of the numbers, this many of the best with their labels: `BYTES` elements `value:index:label`.
    pub classification: Option<usize>,
}

/// What the model says.
#[derive(Debug)]
pub struct TensorResponse {
    /// The model's name.
    pub model: String,
    /// The version that answered.
    pub version: String,
    /// The request's.
    pub id: String,
    /// The outputs, in the order that they were asked for.
    pub outputs: Vec<Tensor>,
}

/// The priority that the protocol's parameter `priority` means: 1 is the highest, 0 says nothing.
pub fn priority(parameter: u64) -> Priority {
    if parameter == 1 { Priority::High } else { Priority::Normal }
}
