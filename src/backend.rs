//! What runs a network: a batch of pictures in, the network's outputs out. The seam between batching and ONNX Runtime,
//! and for fakes in tests.

use ndarray::ArrayD;
use serde::Serialize;

use crate::error::Result;

/// Runs one network. Owned by one thread at a time.
pub trait Backend: Send {
    /// Runs the network once on `input`, whose first axis is the batch; an array for each output of
    /// [`Signature::outputs`], in that order, each with the batch as its first axis.
    ///
    /// # Errors
    /// `InferenceFailed` when the network can't be run on this input.
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>>;
}

/// What a network takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// The tensors it takes, in the graph's order.
    pub inputs: Vec<TensorInfo>,
    /// The tensors it gives, in the graph's order.
    pub outputs: Vec<TensorInfo>,
}

/// Name, element type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Its name in the graph.
    pub name: String,
    /// Its element type by ONNX's name, such as `float32`.
    pub data_type: String,
    /// Its dimensions; -1 where any size goes.
    pub shape: Vec<i64>,
}
