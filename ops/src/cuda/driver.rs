//! CUDA's driver and compiler.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::{result, sys};
use cudarc::nvrtc::{self, CompileOptions};

use super::steps::{self, DeviceTensors, Gpu, Kernel};
use super::{CudaError, KERNELS};
use crate::Shape;

/// The kernels for one width of groups on one device, as long as the process lives.
#[derive(Debug, Clone, Copy)]
pub struct Kernels([Function; Kernel::ALL.len()]);

#[derive(Debug, Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: a handle of the driver's, which any thread may use
unsafe impl Send for Function {}

impl Kernels {
    /// Those for `group_width` on the device of the calling thread's context, compiled once.
    ///
    /// # Errors
    /// [`CudaError`] without CUDA's libraries, without a context, or where the compiler fails.
    pub fn of(group_width: usize) -> Result<Self, CudaError> {
        static COMPILED: Mutex<Option<HashMap<(sys::CUdevice, usize), Kernels>>> = Mutex::new(None);
        // SAFETY: opens libraries of NVIDIA's, which have no state that opening them twice harms
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::Library("libcuda"));
        }
        let device = context_device()?;
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = compiled.get_or_insert_default();
        if let Some(kernels) = compiled.get(&(device, group_width)) {
            return Ok(*kernels);
        }
        let kernels = Self::load(&compile(group_width, &architecture(device)?)?)?;
        compiled.insert((device, group_width), kernels);
        Ok(kernels)
    }

    fn load(code: &[u8]) -> Result<Self, CudaError> {
        // SAFETY: the compiler's own output, which ends with a zero; the module is never unloaded
        let module = unsafe { result::module::load_data(code.as_ptr().cast()) }?;
        let function = |kernel: Kernel| {
            let name = CString::new(kernel.name()).unwrap_or_default();
            // SAFETY: the module was just loaded
            unsafe { result::module::get_function(module, name) }.map(Function)
        };
        let [variances, projection, mixing] = Kernel::ALL;
        Ok(Self([function(variances)?, function(projection)?, function(mixing)?]))
    }

    /// Puts the operator into `stream`; it returns before the GPU is done. These kernels must be of `shape`'s width.
    ///
    /// # Errors
    /// [`CudaError`] when the driver refuses.
    ///
    /// # Safety
    /// The tensors are of `shape` and stay where they are until the stream has passed this; Y overlaps none of them. The stream is
    /// of the calling thread's context, or null.
    pub unsafe fn forward(
        &self,
        shape: &Shape,
        tensors: &DeviceTensors,
        constants: [f32; 2],
        stream: *mut c_void,
    ) -> Result<(), CudaError> {
        let stream = Stream { kernels: *self, stream: stream.cast() };
        // SAFETY: by the caller's word
        unsafe { steps::launch(&stream, shape, tensors, constants) }
    }
}

/// A stream with the kernels that are put into it.
struct Stream {
    kernels: Kernels,
    stream: sys::CUstream,
}

impl Gpu for Stream {
    type Scratch = Scratch;

    fn scratch(&self, floats: usize) -> Result<Scratch, CudaError> {
        let stream = self.stream;
        // SAFETY: used on this stream alone, and written before it is read
        let start = unsafe { result::malloc_async(stream, floats * size_of::<f32>()) }?;
        Ok(Scratch { start, stream })
    }

    fn address(scratch: &Scratch) -> u64 {
        scratch.start
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        threads: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let Function(function) = self.kernels.0[kernel as usize];
        // SAFETY: by the caller's word; the driver copies the arguments
        Ok(unsafe { result::launch_kernel(function, (blocks, 1, 1), (threads, 1, 1), 0, self.stream, arguments) }?)
    }
}

/// Memory that the stream gives back when it has passed its last use.
struct Scratch {
    start: sys::CUdeviceptr,
    stream: sys::CUstream,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: got from the same stream, and given back once; a driver that refuses has worse to tell at the next call
        let _ = unsafe { result::free_async(self.start, self.stream) };
    }
}

fn context_device() -> Result<sys::CUdevice, CudaError> {
    let mut device = 0;
    // SAFETY: writes a number
    unsafe { sys::cuCtxGetDevice(&mut device) }.result()?;
    Ok(device)
}

/// `compute_90`, as the compiler calls it.
fn architecture(device: sys::CUdevice) -> Result<String, CudaError> {
    use sys::CUdevice_attribute_enum::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    // SAFETY: asks the driver for a number
    let attribute = |name| unsafe { result::device::get_attribute(device, name) };
    Ok(format!("compute_{}{}", attribute(MAJOR)?, attribute(MINOR)?))
}

/// The kernels for groups of `group_width` channels, in the driver's portable code.
fn compile(group_width: usize, architecture: &str) -> Result<Vec<u8>, CudaError> {
    // SAFETY: as for the driver's library
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(CudaError::Library("libnvrtc"));
    }
    let options = vec![format!("--gpu-architecture={architecture}"), format!("-DGROUP_WIDTH={group_width}")];
    let options = CompileOptions { options, name: Some("kernels.cu".into()), ..CompileOptions::default() };
    let code = nvrtc::compile_ptx_with_opts(KERNELS, options)?;
    let mut code = code.as_bytes().unwrap_or_default().to_vec();
    code.push(0);
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs no GPU, but NVRTC, which `make test-gpu-fallback` fetches.
    #[test]
    fn the_kernels_compile_for_each_width_and_architecture() {
        // SAFETY: as in `compile`
        if !unsafe { nvrtc::sys::is_culib_present() } {
            println!("skipped: libnvrtc isn't in the loader's path");
            return;
        }
        for group_width in [1, 5, 16, 64, 128] {
            for architecture in ["compute_75", "compute_90", "compute_120"] {
                let code = compile(group_width, architecture).expect("the kernels compile");
                let code = String::from_utf8(code).expect("text");
                for name in Kernel::ALL.map(Kernel::name) {
                    assert!(code.contains(&format!(".entry {name}(")), "{group_width}, {architecture}: {name}");
                }
            }
        }
        let error = compile(0, "compute_90").expect_err("no channels, no array").to_string();
        assert!(error.contains("kernels.cu"), "{error}");
    }
}
