//! The log: one subscriber for the process, set up once.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogFormat, LogOptions};

/// Starts logging to standard error, as `options` say.
///
/// # Errors
/// When the filter can't be parsed.
pub fn start(options: &LogOptions) -> Result<(), ParseError> {
    let filter: EnvFilter = options.log.parse()?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
