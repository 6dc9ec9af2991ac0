#![forbid(unsafe_code)]
//! Serves Channel Equilibrium networks, and any other ONNX image model.

pub mod error;
pub mod manifest;
pub mod vision;
