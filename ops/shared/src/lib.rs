//! `libce_op.so`: what a program with ONNX Runtime (Python, C++, Triton) loads to run `ai.cenet::ChannelEquilibrium` by the kernel
//! that the server runs. Its one function is [`RegisterCustomOps`]; it uses the ONNX Runtime that calls it, and loads none.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

use std::ffi::CString;
use std::panic::catch_unwind;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use ort::AsPointer;
use ort::operator::OperatorDomain;
use ort::sys::{ORT_API_VERSION, OrtApi, OrtApiBase, OrtCustomOpDomain, OrtErrorCode, OrtSessionOptions, OrtStatus};

/// Adds the operator's domain to `options`: ONNX Runtime calls it from `RegisterCustomOpsLibrary`. Null when all is well, else
/// a status that says what isn't.
///
/// # Safety
/// `options` and `base` are those of the ONNX Runtime that calls, which stays loaded.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn RegisterCustomOps(
    options: *mut OrtSessionOptions,
    base: *const OrtApiBase,
) -> *mut OrtStatus {
    // SAFETY: the caller hands over its own table of functions
    let get_api = |version| unsafe { ((*base).GetApi)(version).as_ref() };
    let Some(oldest) = get_api(1) else { return null_mut() };
    let Some(api) = get_api(ORT_API_VERSION) else {
        return failure(oldest, &format!("ce_op needs ONNX Runtime 1.{ORT_API_VERSION} or newer"));
    };
    match catch_unwind(|| domain(api)) {
        // SAFETY: both pointers are ONNX Runtime's, and the domain is never freed
        Ok(Ok(domain)) => unsafe { (api.AddCustomOpDomain)(options, domain) }.0,
        Ok(Err(message)) => failure(api, &message),
        Err(_) => failure(api, "ce_op panicked while it made its operator"),
    }
}

/// The process's one domain: sessions use it for as long as they live, so that it lives as long as the library.
fn domain(api: &OrtApi) -> Result<*mut OrtCustomOpDomain, String> {
    static DOMAIN: Mutex<Option<usize>> = Mutex::new(None);
    let mut made = DOMAIN.lock().unwrap_or_else(PoisonError::into_inner);
    let address = match *made {
        Some(address) => address,
        None => {
            ort::set_api(api.clone());
            let domain: &OperatorDomain = Box::leak(Box::new(kernels::operator_domain().map_err(|e| e.to_string())?));
            *made.insert(domain.ptr() as usize)
        }
    };
    Ok(address as *mut OrtCustomOpDomain)
}

fn failure(api: &OrtApi, message: &str) -> *mut OrtStatus {
    let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // SAFETY: ONNX Runtime copies the text
    unsafe { (api.CreateStatus)(OrtErrorCode::ORT_FAIL, message.as_ptr()) }.0
}
