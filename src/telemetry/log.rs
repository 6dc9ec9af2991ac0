//! The log: one subscriber for the process, set up once; what it lets through can be changed while it runs.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::{LogFormat, LogOptions};
use crate::error::{ErrorKind, InferError, Result};

/// What the log lets through.
#[derive(Debug, Clone)]
pub struct LogControl(Handle<EnvFilter, Registry>);

impl LogControl {
    /// The filter as it is, in its own words: the same directives, maybe in another order.
    ///
    /// # Errors
    /// `Unavailable` when there is no log any more.
    pub fn filter(&self) -> Result<String> {
        self.0.with_current(ToString::to_string).map_err(|error| gone(&error))
    }

    /// Lets through what `filter` says from now on.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no filter.
    pub fn set_filter(&self, filter: &str) -> Result<()> {
        let parsed: EnvFilter = filter.parse().map_err(|error: ParseError| {
            InferError::new(ErrorKind::InvalidParameter, format!("{filter:?} is no filter: {error}"))
        })?;
        self.0.reload(parsed).map_err(|error| gone(&error))?;
        tracing::warn!(filter, "the log's filter is another");
        Ok(())
    }
}

fn gone(error: &reload::Error) -> InferError {
    InferError::new(ErrorKind::Unavailable, error.to_string())
}

/// Starts logging to standard error, as `options` say.
///
/// # Errors
/// When the filter can't be parsed.
pub fn start(options: &LogOptions) -> std::result::Result<LogControl, ParseError> {
    let (filter, handle) = reload::Layer::new(options.log.parse()?);
    let log = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => log.with(lines).init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).init(),
    }
    Ok(LogControl(handle))
}
