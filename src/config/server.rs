//! Where the server listens and how it stops.

use std::net::SocketAddr;
use std::thread::available_parallelism;

/// Where the server listens and how it stops.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerOptions {
    /// Address and port for HTTP; port 0 takes any free one
    #[arg(long, env = "CENET_HTTP_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub http_addr: SocketAddr,

    /// Address and port for gRPC; port 0 takes any free one
    #[arg(long, env = "CENET_GRPC_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8001")]
    pub grpc_addr: SocketAddr,

    /// Serves gRPC at the HTTP address too, instead of at one of its own
    #[arg(long, env = "CENET_SINGLE_PORT")]
    pub single_port: bool,

    /// Threads that read requests and write answers; 0 means one for every two cores: the others decode and infer
    #[arg(long, env = "CENET_IO_THREADS", value_name = "N", default_value_t = 0)]
    pub io_threads: usize,

    /// Milliseconds that the server goes on serving, but isn't ready, after a signal to stop: time for load balancers to notice
    #[arg(long, env = "CENET_SHUTDOWN_DELAY_MS", value_name = "MS", default_value_t = 0)]
    pub shutdown_delay_ms: u64,

    /// Seconds that requests in flight get to end after that; what can't is answered 503
    #[arg(long, env = "CENET_DRAIN_TIMEOUT_S", value_name = "SECONDS", default_value_t = 30)]
    pub drain_timeout_s: u64,

    /// Clients that may be connected at once, by all ports; further ones are told 503 and hung up on
    #[arg(long, env = "CENET_MAX_CONNECTIONS", value_name = "N", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Milliseconds that a client may take over a request's head
    #[arg(long, env = "CENET_HEADER_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub header_timeout_ms: u64,

    /// Milliseconds that a connection may be silent, but never less than a request may take (HTTP/2 clients answer
    /// pings meanwhile); also how long an answer waits for
    /// a client that doesn't read it
    #[arg(long, env = "CENET_IDLE_TIMEOUT_MS", value_name = "MS", default_value_t = 75_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_timeout_ms: u64,
}

impl ServerOptions {
    /// Threads that read requests and write answers.
    pub fn io_threads(&self) -> usize {
        match self.io_threads {
            0 => available_parallelism().map_or(1, usize::from).div_ceil(2),
            threads => threads,
        }
    }
}
