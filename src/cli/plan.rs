//! `cenet-serve plan`: a network as the server runs it on this machine, for other programs that load `libce_op.so`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::model::{ModelDirectory, Network, PlanOptions as Planning, locate};

#[derive(Debug, clap::Args)]
pub(super) struct PlanOptions {
    /// A model's folder, or its name in the model repository
    model: PathBuf,

    /// Where to write the ONNX file; it is for processors with this one's instructions and this version of ONNX Runtime
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    model_repository: PathBuf,
}

pub(super) fn run(options: &PlanOptions) -> Result<ExitCode, Failure> {
    let directory = ModelDirectory::read(&locate(&options.model, &options.model_repository)?)?;
    let network = Network::of(&directory, &Planning::default());
    let (Some(file), Some(coverage)) = (network.planned_file()?, network.coverage()) else {
        return Err(format!("{} has no plan: {}", directory.name, network.origin()).into());
    };
    fs::write(&options.output, &file).map_err(|error| format!("{}: {error}", options.output.display()))?;
    println!(
        "{}: {} bytes; {coverage}; for processors with this one's instructions and this version of ONNX Runtime",
        options.output.display(),
        file.len()
    );
    Ok(ExitCode::SUCCESS)
}
