//! `cenet-serve key new`: a new API key, and the line that lets it in.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::process::ExitCode;

use super::Failure;
use crate::access::{Role, new_key};

#[derive(Debug, clap::Args)]
pub(super) struct KeyOptions {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    /// Make a key: prints it, once, and the line for --api-keys-file, which doesn't tell it
    New(NewOptions),
}

#[derive(Debug, clap::Args)]
struct NewOptions {
    /// Whose it is, for the log
    #[arg(value_parser = name)]
    name: String,

    /// What it may do: infer, admin, metrics
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "infer")]
    role: Vec<Role>,

    /// Requests a second that it may make
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
}

/// The line goes to standard output, for `>> FILE`; the key to standard error, for whoever is to have it.
pub(super) fn run(options: &KeyOptions) -> Result<ExitCode, Failure> {
    let KeyCommand::New(NewOptions { name, role, rate }) = &options.command;
    let [key, line] = new_key(name, role, *rate).map_err(|error| format!("no random bytes: {error}"))?;
    writeln!(io::stderr(), "the key, which nobody can tell you again: {key}")?;
    writeln!(io::stdout(), "{line}")?;
    Ok(ExitCode::SUCCESS)
}

fn name(text: &str) -> Result<String, String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    let named = !text.is_empty() && text.chars().all(good);
    if named { Ok(text.to_owned()) } else { Err("a name is letters, digits and -_.@".into()) }
}
