//! The ONNX file format, generated from `proto/onnx-ml.proto`.
#![allow(missing_docs, unreachable_pub, dead_code, rust_2018_idioms, clippy::all, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
