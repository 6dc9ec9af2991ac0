//! Generates the ONNX file format's types and the gRPC services; needs no `protoc`.

use std::path::PathBuf;
use std::{env, error, fs};

/// Where the services' descriptors go, for reflection.
const DESCRIPTORS: &str = "services.bin";

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    let onnx = protox::compile(["onnx-ml.proto"], ["proto"])?;
    prost_build::Config::new().disable_comments(["."]).compile_fds(onnx)?;
    let mut services = protox::Compiler::new(["proto"])?;
    services.include_source_info(true).include_imports(true).open_files(["vision.proto", "inference.proto"])?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join(DESCRIPTORS);
    fs::write(descriptors, services.encode_file_descriptor_set())?;
    let generator = tonic_prost_build::configure().build_transport(false).bytes(".");
    generator.compile_fds(services.file_descriptor_set())?;
    Ok(())
}
