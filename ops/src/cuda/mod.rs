//! The operator on NVIDIA's GPUs: `kernels.cu`, compiled by NVRTC when they are first asked for, and put into the caller's stream.
//!
//! CUDA's libraries are opened then, too: nothing of them is needed where this isn't used. `driver` speaks with them, `steps` says
//! what is launched in which order.

mod driver;
#[cfg(test)]
mod emulated;
mod steps;

pub use driver::Kernels;
pub use steps::DeviceTensors;

/// The kernels' source; `GROUP_WIDTH` is to be defined.
const KERNELS: &str = include_str!("kernels.cu");

/// Why the GPU can't compute it.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// A library of CUDA isn't there.
    #[error("{0} can't be opened")]
    Library(&'static str),
    /// The kernels can't be compiled.
    #[error("NVRTC can't compile the kernel: {0}")]
    Compile(#[from] cudarc::nvrtc::CompileError),
    /// The driver refuses.
    #[error("CUDA's driver: {0}")]
    Driver(#[from] cudarc::driver::result::DriverError),
    /// More than one launch can take.
    #[error("a batch of {samples} samples of {channels} channels is too large for one launch")]
    Size {
        /// Samples of the batch.
        samples: usize,
        /// Channels of each.
        channels: usize,
    },
}
