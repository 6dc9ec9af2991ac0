//! The kernels' own source on a GPU that a C++ compiler makes of this machine: their arithmetic, their barriers and how they are launched are
//! tested, no speed.

use std::ffi::{c_int, c_void};
use std::fs;
use std::process::Command;

use libloading::Library;
use tempfile::TempDir;

use super::steps::{DeviceTensors, Gpu, Kernel, launch};
use super::{CudaError, KERNELS};
use crate::support::{Case, relative_difference};
use crate::{Shape, reference};

type Launch = unsafe extern "C" fn(c_int, u32, u32, *mut *mut c_void) -> bool;

/// The kernels for one width of groups.
struct Emulated {
    library: Library,
    /// Where the library's file lies.
    _folder: TempDir,
}

impl Emulated {
    /// None, with a line printed, where no C++ compiler is.
    fn compile(group_width: usize) -> Option<Self> {
        if Command::new("c++").arg("--version").output().is_err() {
            println!("skipped: no C++ compiler is there to make a GPU of");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (source, output) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
        let text = [include_str!("emulated.hpp"), KERNELS, include_str!("emulated_launch.hpp")].join("\n");
        fs::write(&source, text).expect("written");
        let compiled = Command::new("c++")
            .args(["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w"])
            .arg(format!("-DGROUP_WIDTH={group_width}"))
            .args(["-o".as_ref(), output.as_os_str(), source.as_os_str()])
            .output()
            .expect("the compiler runs");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        // SAFETY: compiled from this folder's sources, without anything that runs when it is opened
        let library = unsafe { Library::new(&output) }.expect("a library");
        Some(Self { library, _folder: folder })
    }
}

impl Gpu for Emulated {
    type Scratch = Vec<f32>;

    fn scratch(&self, floats: usize) -> Result<Vec<f32>, CudaError> {
        // what isn't written before it is read shows
        Ok(vec![f32::NAN; floats])
    }

    fn address(scratch: &Vec<f32>) -> u64 {
        scratch.as_ptr() as u64
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        threads: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        // SAFETY: the function is of this type, and the arguments are right by the caller's word
        let ended = unsafe {
            let launch = self.library.get::<Launch>(b"launch").expect("the function");
            launch(kernel as c_int, blocks, threads, arguments.as_mut_ptr())
        };
        assert!(ended, "{kernel:?}: a thread waits for others that never come");
        Ok(())
    }
}

#[test]
fn the_kernels_agree_with_the_reference() {
    for (batch, groups, group_width, pixels) in [
        (1, 1, 64, 400),
        (2, 3, 16, 49),
        (3, 2, 16, 196),
        (1, 2, 5, 9),
        (1, 1, 100, 130),
        (2, 12, 1, 33),
        (1, 4, 32, 2),
    ] {
        let shape = Shape { batch, groups, group_width, pixels, hidden: (groups * group_width / 4).max(1) };
        let case = Case::draw(shape, 0.3, 5);
        let Some(gpu) = Emulated::compile(group_width) else { return };
        let mut y = vec![f32::NAN; case.x.len()];
        let tensors = DeviceTensors {
            x: case.x.as_ptr(),
            whitening: case.whitening.as_ptr(),
            fc1: case.fc1.as_ptr(),
            ln_scale: case.ln_scale.as_ptr(),
            ln_bias: case.ln_bias.as_ptr(),
            fc2: case.fc2.as_ptr(),
            y: y.as_mut_ptr(),
        };
        let parameters = case.parameters();
        // SAFETY: the tensors are of the shape and live on; the emulated GPU is done when it returns
        unsafe { launch(&gpu, &shape, &tensors, [parameters.gate_scale, parameters.epsilon]) }.expect("launched");
        let expected = reference::forward(&shape, &parameters, &case.x).expect("the buffers fit").y;
        let difference = relative_difference(&expected, &y);
        assert!(difference < 1e-5, "{shape:?}: {difference:e}");
    }
}

#[test]
fn more_than_a_launch_can_take_is_refused() {
    let Some(gpu) = Emulated::compile(16) else { return };
    let shape = Shape { batch: 1 << 20, groups: 1 << 10, group_width: 16, pixels: 4, hidden: 8 };
    let [x, y] = [std::ptr::null::<f32>(), std::ptr::null()];
    let tensors = DeviceTensors { x, whitening: x, fc1: x, ln_scale: x, ln_bias: x, fc2: x, y: y.cast_mut() };
    // SAFETY: nothing is launched
    let error = unsafe { launch(&gpu, &shape, &tensors, [1.0, 1e-5]) }.expect_err("2^34 blocks").to_string();
    assert!(error.contains("too large for one launch"), "{error}");
}
