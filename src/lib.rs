#![forbid(unsafe_code)]
//! Serves Channel Equilibrium networks, and any other ONNX image classifier or detector, over HTTP and gRPC.
//!
//! ```text
//! serve/{http,grpc} ─ InferRequest ─> infer ─ InferResponse | InferError ─> JSON, protobuf
//!                                       │
//!   admission -> decode -> preprocess -> batch -> session -> postprocess
//! ```
//!
//! Dependencies point one way: `serve -> {scrape, monitor, infer} -> model -> {batch, vision} ->
//! {backend, manifest, admission, deadline, cpu, metrics} -> error`.
//! `axum` and `tonic` are named in `serve` alone, `ort` in `model` alone.

use tikv_jemallocator::Jemalloc;

/// For ONNX Runtime's allocations too: the system's allocator keeps much of what models that are gone have used.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

pub mod access;
pub mod admission;
pub mod answer;
pub mod backend;
pub mod batch;
pub mod changes;
pub mod cli;
pub mod config;
pub mod cpu;
pub mod deadline;
pub mod error;
pub mod infer;
pub mod load;
pub mod manifest;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod oip;
pub mod reading;
pub mod request;
mod scrape;
pub mod serve;
pub mod shutdown;
mod stages;
pub mod telemetry;
pub mod tune;
pub mod vision;
