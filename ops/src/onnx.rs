//! The operator as ONNX Runtime knows it: domain `ai.cenet`, `ChannelEquilibrium`, version 1.
//!
//! Beside it, for graphs that the server has rewritten, `ai.cenet.cpu::BlockedChannelEquilibrium`: the same on the runtime's blocked layout, with `ConvolvedChannelEquilibrium`, which has the 1x1 convolution before it in it, and
//! `QuantizedChannelEquilibrium`: between 8-bit tensors with the channels last; and `BlockedConvolution`, for the convolutions around them.
//!
//! Shapes are checked when a session is made, as far as they are known then, and before every run; an error names the
//! node. Work runs on the session's own threads, and Y takes X's memory where nobody else reads X. No panic leaves a
//! kernel: it becomes an error of the run.

#[cfg(feature = "assignment")]
mod assignment;
mod blocked;
mod convolution;
#[cfg(feature = "cuda")]
mod cuda;
mod guard;
mod nchw;
mod node;
mod quantized;
mod threads;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ort::Result;
use ort::operator::OperatorDomain;

#[cfg(feature = "assignment")]
pub use assignment::{assignment, record_assignment};
pub use blocked::{BLOCK_ATTRIBUTE, CONVOLVED_NAME, DOMAIN as BLOCKED_DOMAIN, NAME as BLOCKED_NAME, RELU_ATTRIBUTE};
pub use convolution::{NAME as CONVOLUTION_NAME, PADS_ATTRIBUTE, RANGE_ATTRIBUTE, STRIDE_ATTRIBUTE};
pub use quantized::NAME as QUANTIZED_NAME;

/// The operator's domain.
pub const DOMAIN: &str = "ai.cenet";
/// The operator's name in its domain.
pub const NAME: &str = "ChannelEquilibrium";

/// The domain with its operator, to be registered with a session. Once it is, the session keeps the operator's nodes;
/// without it, ONNX Runtime inlines the function body that the model carries.
///
/// # Errors
/// When ONNX Runtime can't make a domain.
pub fn operator_domain() -> Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(nchw::ChannelEquilibrium)
}

/// The domain with the operator on blocked and on 8-bit tensors and the convolutions on blocked ones, for a session whose inferences use `threads`; 0 means one a core.
///
/// # Errors
/// When ONNX Runtime can't make a domain.
pub fn blocked_domain(threads: usize) -> Result<OperatorDomain> {
    OperatorDomain::new(BLOCKED_DOMAIN)?
        .add(blocked::BlockedChannelEquilibrium::<false> { threads })?
        .add(blocked::BlockedChannelEquilibrium::<true> { threads })?
        .add(quantized::QuantizedChannelEquilibrium { threads })?
        .add(convolution::BlockedConvolution { threads })
}

/// The domain with its operator in a GPU's memory, to be registered with a session of CUDA's.
///
/// # Errors
/// When ONNX Runtime can't make a domain.
#[cfg(feature = "cuda")]
pub fn cuda_domain() -> Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(cuda::CudaChannelEquilibrium)
}

/// To be held while a session with the operator is made: ONNX Runtime (1.32 and before) looks for the domain in a table of
/// the process and adds it in two steps, so that of two sessions made at once one can fail with "domain is already exist".
pub fn session_creation() -> MutexGuard<'static, ()> {
    static CREATION: Mutex<()> = Mutex::new(());
    CREATION.lock().unwrap_or_else(PoisonError::into_inner)
}
