//! Where the server listens and how it stops.

use std::net::SocketAddr;

/// Where the server listens and how it stops.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerOptions {
    /// Address and port for HTTP; port 0 takes any free one
    #[arg(long, env = "CENET_HTTP_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub http_addr: SocketAddr,

    /// Seconds that requests in flight get to end after a signal to stop
    #[arg(long, env = "CENET_DRAIN_TIMEOUT_S", value_name = "SECONDS", default_value_t = 30)]
    pub drain_timeout_s: u64,
}
