//! The Channel Equilibrium operator, `ai.cenet::ChannelEquilibrium` version 1, on the CPU and, where asked for, on NVIDIA's GPUs.
//!
//! For each sample of `X`, shaped `[N, C, H, W]`, with its channels in `G` groups of `d`:
//!
//! ```text
//! variance[c] = unbiased variance of X[c] over its H*W pixels
//! gate        = sigmoid(fc2 . relu(LayerNorm(fc1 . variance)))
//! Y[g]        = whitening[g] . X[g] + gate_scale * gate * X[g]
//! ```
//!
//! after Shao et al., "Channel Equilibrium Networks for Learning Deep Representation", ICML 2020, with the constants of
//! inference folded: `whitening` is `sigmoid(x_weight) * running_wm`, `gate_scale` is `(1 - sigmoid(x_weight)) /
//! running_scale`.
//!
//! [`mod@reference`] says it plainly; [`nchw`] computes it fast, [`quantized`] between 8-bit tensors, `cuda` on a GPU; [`onnx`] registers it with ONNX Runtime.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

#[cfg(test)]
extern crate self as ce_op; // what the unit tests share with the integration tests names the crate so

pub mod blocked;
pub mod convolution;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod gate;
mod instruction_set;
mod multiply;
pub mod nchw;
pub mod onnx;
mod parallel;
mod parameters;
mod phases;
pub mod quantized;
pub mod reference;
mod scratch;
mod shape;
mod sums;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod vector;
mod weights;

pub use error::ShapeError;
pub use instruction_set::InstructionSet;
pub use onnx::operator_domain;
pub use parallel::{Parallel, Serial};
pub use parameters::Parameters;
pub use shape::{InputShapes, Shape};
