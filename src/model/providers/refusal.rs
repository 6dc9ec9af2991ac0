//! Why a provider can't start, for people: ONNX Runtime says it in its own words, mostly by the library that it couldn't open.

use serde::Serialize;

use crate::manifest::Provider;

/// A provider that couldn't start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Refusal {
    /// Which.
    pub provider: Provider,
    /// Why.
    pub reason: String,
}

/// What ONNX Runtime says of a provider that it is built without.
const NOT_BUILT: [&str; 2] = ["is either not enabled or not available", "is not enabled in this build"];
const CUDA_FAILURE: &str = "CUDA failure ";
const NOT_FOUND: &str = ": cannot open shared object file";

/// Libraries by the beginning of their names, and what they belong to.
const OWNERS: [(&str, &str); 8] = [
    ("libonnxruntime_providers", "ONNX Runtime's library for it isn't beside the others of onnxruntime-gpu"),
    ("libcuda.so", "NVIDIA's driver isn't there; in a container, it needs `docker run --gpus all`"),
    ("libcudnn", "cuDNN isn't installed"),
    ("libnvinfer", "TensorRT isn't installed"),
    ("libnvonnxparser", "TensorRT isn't installed"),
    ("libcu", "CUDA's libraries aren't installed"),
    ("libnvrtc", "CUDA's libraries aren't installed"),
    ("libnvJitLink", "CUDA's libraries aren't installed"),
];

impl Refusal {
    /// Puts ONNX Runtime's `message` into plain words where it is a known one.
    pub(super) fn new(provider: Provider, message: &str) -> Self {
        Self { provider, reason: explain(message) }
    }
}

fn explain(message: &str) -> String {
    if NOT_BUILT.iter().any(|known| message.contains(known)) {
        return "this ONNX Runtime is built without it; the library of onnxruntime-gpu has it".into();
    }
    if let Some((library, owner)) = missing_library(message) {
        return format!("{owner} ({library} is not found)");
    }
    cuda_failure(message).unwrap_or(message).trim().to_owned()
}

/// `CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version`, without where in the source it happened.
fn cuda_failure(message: &str) -> Option<&str> {
    let from = &message[message.find(CUDA_FAILURE)?..];
    from.split(';').next()
}

/// The library that the loader didn't find, and what it belongs to.
fn missing_library(message: &str) -> Option<(&str, &'static str)> {
    let (before, _) = message.split_once(NOT_FOUND)?;
    let library = before.rsplit([' ', '/', '\'', '"']).next()?;
    let (_, owner) = OWNERS.into_iter().find(|(beginning, _)| library.starts_with(beginning))?;
    Some((library, owner))
}
