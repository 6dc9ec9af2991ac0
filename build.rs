//! Generates the ONNX file format's types and the gRPC services, without `protoc`; unpacks Swagger UI's files.

use std::io::{self, Cursor};
use std::path::PathBuf;
use std::{env, error, fs};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// Where the services' descriptors go, for reflection.
const DESCRIPTORS: &str = "services.bin";
/// What `/docs` needs of Swagger UI.
const SWAGGER_UI_FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

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
    unpack_swagger_ui()
}

/// From the archive that the crate holds, `swagger-ui-VERSION/dist/FILE`.
fn unpack_swagger_ui() -> Result<(), Box<dyn error::Error>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let names: Vec<_> = archive.file_names().map(str::to_owned).collect();
    for file in SWAGGER_UI_FILES {
        let ends = |name: &&String| name.split('/').skip(1).eq(["dist", file]);
        let name = names.iter().find(ends).ok_or_else(|| format!("Swagger UI has no {file}"))?;
        let mut unpacked = fs::File::create(PathBuf::from(env::var("OUT_DIR")?).join(file))?;
        io::copy(&mut archive.by_name(name)?, &mut unpacked)?;
    }
    Ok(())
}
