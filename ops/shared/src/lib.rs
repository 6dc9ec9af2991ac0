//! `libce_op.so`: what a program with ONNX Runtime (Python, C++, Triton) loads to run `ai.cenet::ChannelEquilibrium` by the kernel
//! that the server runs, and networks that `cenet-serve plan` has written. Its one function is [`RegisterCustomOps`]; it uses the ONNX Runtime that calls it, and loads none.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

use std::ffi::CString;
use std::panic::catch_unwind;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use ort::AsPointer;
use ort::operator::OperatorDomain;
use ort::sys::{ORT_API_VERSION, OrtApi, OrtApiBase, OrtCustomOpDomain, OrtErrorCode, OrtSessionOptions, OrtStatus};

/// Adds the operators' domains to `options`: ONNX Runtime calls it from `RegisterCustomOpsLibrary`. Null when all is well, else
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
    match catch_unwind(|| domains(api)) {
        Ok(Ok(domains)) => {
            // SAFETY: both pointers are ONNX Runtime's, and the domains are never freed
            let added = domains.map(|domain| unsafe { (api.AddCustomOpDomain)(options, domain) }.0);
            added.into_iter().find(|status| !status.is_null()).unwrap_or_else(null_mut)
        }
        Ok(Err(message)) => failure(api, &message),
        Err(_) => failure(api, "ce_op panicked while it made its operators"),
    }
}

/// The process's domains, for networks as their files have them and for planned ones: sessions use them for as long as they live, so that they live
/// as long as the library.
fn domains(api: &OrtApi) -> Result<[*mut OrtCustomOpDomain; 2], String> {
    static DOMAINS: Mutex<Option<[usize; 2]>> = Mutex::new(None);
    let mut made = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
    let addresses = match *made {
        Some(addresses) => addresses,
        None => {
            ort::set_api(api.clone());
            // how many threads a session has isn't known here
            let domains = [kernels::operator_domain(), kernels::onnx::blocked_domain(0)];
            let [own, blocked] = domains.map(|domain| domain.map_err(|error| error.to_string()));
            let leaked = |domain: OperatorDomain| Box::leak(Box::new(domain)).ptr() as usize;
            *made.insert([leaked(own?), leaked(blocked?)])
        }
    };
    Ok(addresses.map(|address| address as *mut OrtCustomOpDomain))
}

fn failure(api: &OrtApi, message: &str) -> *mut OrtStatus {
    let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // SAFETY: ONNX Runtime copies the text
    unsafe { (api.CreateStatus)(OrtErrorCode::ORT_FAIL, message.as_ptr()) }.0
}
