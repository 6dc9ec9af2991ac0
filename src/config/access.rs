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

    /// Web pages that may ask over HTTP from a browser, by origin, such as `https://example.org` [default: the server's own page alone]
    #[arg(long, env = "CENET_CORS_ORIGIN", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origin: Vec<String>,
}

impl AccessOptions {
    /// Where the keys are.
    pub fn key_source(&self) -> KeySource {
        KeySource { file: self.api_keys_file.clone(), lines: self.api_keys.clone() }
    }
}

/// As browsers send it: no path, no slash at the end.
fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if host.is_some_and(good) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not http(s)://HOST[:PORT]")) }
}
