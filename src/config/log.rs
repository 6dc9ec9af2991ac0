//! What the program tells about itself while it runs.

/// What the program tells about itself while it runs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogOptions {
    /// What is logged, as a `tracing` filter: a level, or target=level pairs
    #[arg(long, env = "CENET_LOG", value_name = "FILTER", default_value = "info,ort=warn")]
    pub log: String,

    /// How a line of the log looks
    #[arg(long, env = "CENET_LOG_FORMAT", value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Whether requests are counted and told at /metrics
    #[arg(long, env = "CENET_METRICS", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub metrics: bool,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}
