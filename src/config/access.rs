//! Who may do what.

use std::path::PathBuf;

use crate::access::{KeySource, OpenRoute};

/// Who may do what.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessOptions {
    /// File of API keys, a line each as `cenet-serve key new` prints it; read anew when it changes. With any key, all that --open doesn't name
    /// takes one
    #[arg(long, env = "CENET_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// API keys' lines, with semicolons between them: hashes, not the keys
    #[arg(long, env = "CENET_API_KEYS", value_name = "LINES", value_delimiter = ';')]
    pub api_keys: Vec<String>,

    /// What takes no key
    #[arg(long, env = "CENET_OPEN", value_name = "ROUTES", value_delimiter = ',', default_value = "health")]
    pub open: Vec<OpenRoute>,
}

impl AccessOptions {
    /// Where the keys are.
    pub fn key_source(&self) -> KeySource {
        KeySource { file: self.api_keys_file.clone(), lines: self.api_keys.clone() }
    }
}
