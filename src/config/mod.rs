//! What can be set: on the command line, by environment variables, by a TOML file; in that order of precedence.

mod access;
mod file;
mod kernels;
mod limits;
mod log;
mod models;
mod providers;
mod server;
mod tls;
mod traces;

use std::path::PathBuf;

pub use access::AccessOptions;
pub use file::parse_with_file;
pub use kernels::KernelOptions;
pub use limits::LimitOptions;
pub use log::{LogFormat, LogOptions};
pub use models::{ModelControl, ModelOptions};
pub use providers::ProviderArguments;
pub use server::ServerOptions;
pub use tls::TlsOptions;
pub use traces::TraceOptions;

/// Everything that `cenet-serve serve` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeConfig {
    /// TOML file with any of these options, `_` for `-` in their names
    #[arg(long, env = "CENET_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where it listens and how it stops.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Which models it serves and how they run.
    #[command(flatten)]
    pub models: ModelOptions,
    /// Encryption.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Who may do what.
    #[command(flatten)]
    pub access: AccessOptions,
    /// What it takes at most.
    #[command(flatten)]
    pub limits: LimitOptions,
    /// What it tells about itself.
    #[command(flatten)]
    pub log: LogOptions,
    /// Where traces go.
    #[command(flatten)]
    pub traces: TraceOptions,
}
