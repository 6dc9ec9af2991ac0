//! `cenet-serve inspect`: what a model is, and what really runs it on this machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::backend::TensorInfo;
use crate::config::{KernelOptions, ProviderArguments};
use crate::model::{GoldenReport, Inspection, LoadOptions, Origin, Placement, inspect, locate};

#[derive(Debug, clap::Args)]
pub(super) struct InspectOptions {
    /// A model's folder, or its name in the model repository
    model: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    model_repository: PathBuf,

    #[command(flatten)]
    providers: ProviderArguments,

    #[command(flatten)]
    kernels: KernelOptions,
}

pub(super) fn run(options: &InspectOptions) -> Result<ExitCode, Failure> {
    options.kernels.apply();
    let load = LoadOptions {
        providers: options.providers.options(),
        plan: options.kernels.plan_options(),
        ..LoadOptions::default()
    };
    let inspection = inspect(&locate(&options.model, &options.model_repository)?, &load)?;
    let mut output = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut output, &inspection)?;
        writeln!(output)?;
    } else {
        print(&mut output, &inspection)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(output: &mut impl Write, inspection: &Inspection) -> Result<(), Failure> {
    writeln!(output, "{} version {}, task {}", inspection.name, inspection.version, inspection.manifest.task)?;
    if let Some(description) = &inspection.manifest.description {
        writeln!(output, "{description}")?;
    }
    let graph = &inspection.graph;
    writeln!(output, "\nnetwork      {} nodes, {} parameters, opset {}", graph.nodes, graph.parameters, graph.opset)?;
    writeln!(output, "written by   {}", graph.producer)?;
    print_tensors(output, "input", &inspection.signature.inputs)?;
    print_tensors(output, "output", &inspection.signature.outputs)?;
    writeln!(output, "labels       {}", inspection.labels)?;
    writeln!(output, "instances    {}", inspection.instances)?;
    print_providers(output, &inspection.placement)?;
    let batching = &inspection.batching;
    let delay_us = batching.max_delay.as_micros();
    writeln!(
        output,
        "batches      of {} at most, {delay_us} us of waiting while a session is free",
        batching.max_size
    )?;
    print_ce_blocks(output, inspection)?;
    writeln!(output, "\nrun on this machine by")?;
    for count in &inspection.executed {
        writeln!(output, "  {:26} {:4} x {}", count.provider, count.nodes, count.operator)?;
    }
    writeln!(output, "\npreprocess\n{}", indented(&toml::to_string(&inspection.manifest.preprocess)?))?;
    writeln!(output, "golden pair  {}", golden_line(inspection.golden.as_ref()))?;
    Ok(())
}

fn print_tensors(output: &mut impl Write, role: &str, tensors: &[TensorInfo]) -> io::Result<()> {
    tensors
        .iter()
        .try_for_each(|tensor| writeln!(output, "{role:12} {} {} {:?}", tensor.name, tensor.data_type, tensor.shape))
}

fn print_providers(output: &mut impl Write, placement: &Placement) -> io::Result<()> {
    let nodes: Vec<_> = placement.nodes.iter().map(|(provider, nodes)| format!("{provider} {nodes}")).collect();
    writeln!(output, "provider     {} (nodes: {})", placement.provider, nodes.join(", "))?;
    placement.refused.iter().try_for_each(|refusal| writeln!(output, "  not {}: {}", refusal.provider, refusal.reason))
}

fn print_ce_blocks(output: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let blocks = &inspection.graph.ce_blocks;
    if blocks.is_empty() {
        writeln!(output, "CE blocks    none")?;
    } else {
        writeln!(output, "\nCE blocks    {}, run by {}", blocks.len(), inspection.ce_kernel)?;
    }
    writeln!(output, "plan         {}", plan_line(inspection))?;
    blocks.iter().try_for_each(|block| {
        writeln!(
            output,
            "  {:40} {:5} channels = {:3} groups of {:3}",
            block.name, block.channels, block.groups, block.group_width
        )
    })
}

fn plan_line(inspection: &Inspection) -> String {
    match (inspection.plan, &inspection.plan_origin) {
        (Some(coverage), origin) => format!("{coverage}; {origin}"),
        (None, origin @ Origin::None(_)) => origin.to_string(),
        (None, origin) => format!("nothing fits; {origin}"),
    }
}

fn golden_line(golden: Option<&GoldenReport>) -> String {
    let Some(golden) = golden else { return "none".into() };
    let picture = golden.input_difference.map(|difference| format!("; golden picture within {difference:.2e}"));
    format!(
        "reproduced: largest difference {:.2e}, {:.2e} of the largest value{}",
        golden.max_abs_difference,
        golden.relative_difference,
        picture.unwrap_or_default()
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
