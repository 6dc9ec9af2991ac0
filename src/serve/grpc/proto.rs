//! What is generated from `proto/`: messages, the services' server sides, and clients.

/// `cenet.v1`, from `proto/vision.proto`.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod vision {
    include!(concat!(env!("OUT_DIR"), "/cenet.v1.rs"));
}

/// `inference`, from `proto/inference.proto`.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod inference {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));
}

/// Every message and service, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));
