//! The command line: `serve`, `predict`, `inspect`, `plan`, `health`, `key`, `bench`, `tune`.

mod bench;
mod health;
mod inspect;
mod key;
mod known_server;
mod plan;
mod predict;
mod serve;
mod tune;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{ServeConfig, parse_with_file};

/// Serves Channel Equilibrium networks, and any other ONNX image classifier, over HTTP
#[derive(Debug, Parser)]
#[command(name = "cenet-serve", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every model of a repository
    Serve(Box<ServeConfig>),
    /// Have a model look at pictures, without a server
    Predict(predict::PredictOptions),
    /// Show what a model is and how it runs here
    Inspect(inspect::InspectOptions),
    /// Write a model's network as it is planned for this machine, for other programs with libce_op.so
    Plan(plan::PlanOptions),
    /// Ask a running server whether it is ready
    Health(health::HealthOptions),
    /// Make API keys
    Key(key::KeyOptions),
    /// Load a server and tell how it bears it
    Bench(Box<bench::BenchOptions>),
    /// Find how a model is best run on this machine
    Tune(tune::TuneOptions),
}

/// What ended a command early, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the program; 0 when all went well, 1 when something failed, 2 when the arguments are wrong.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let parsed =
        parse_with_file(CommandLine::command(), arguments).and_then(|matches| CommandLine::from_arg_matches(&matches));
    let command = match parsed {
        Ok(line) => line.command,
        Err(error) => error.exit(),
    };
    let outcome = match command {
        Command::Serve(config) => serve::run(&config),
        Command::Predict(options) => predict::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Plan(options) => plan::run(&options),
        Command::Health(options) => health::run(&options),
        Command::Key(options) => key::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Tune(options) => tune::run(&options),
    };
    outcome.unwrap_or_else(|failure| {
        if reader_left(&failure) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

/// Whoever read the output, such as `head`, has seen enough.
fn reader_left(failure: &Failure) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
