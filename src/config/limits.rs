//! What the server takes at most.

use std::time::Duration;

use clap::{Args, Command, FromArgMatches};

use crate::vision::decode::DecodeLimits;

/// What the server takes at most.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Bytes of a request's body or gRPC message; more are answered 413
    #[arg(long, env = "CENET_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 32 << 20)]
    pub max_body_bytes: usize,

    /// Pixels of a picture, width times height; more are answered 413 before anything is decoded
    #[arg(long, env = "CENET_MAX_IMAGE_PIXELS", value_name = "PIXELS", default_value_t = 50_000_000)]
    pub max_image_pixels: u64,

    /// Pictures in flight over all requests; further ones are answered 429
    #[arg(long, env = "CENET_MAX_IMAGES_IN_FLIGHT", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_images_in_flight: u16,

    /// MiB of request bodies and decoded pictures held at once; what would take more is answered 429
    #[arg(long, env = "CENET_MEMORY_BUDGET_MIB", value_name = "MIB", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub memory_budget_mib: u32,

    /// Requests of one gRPC stream in flight; no more is read of it while there are so many
    #[arg(long, env = "CENET_STREAM_IN_FLIGHT", value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub stream_in_flight: u16,

    /// Milliseconds that a request may take from its head to its answer; X-Request-Timeout-Ms or grpc-timeout may ask for less, not for
    /// more
    #[arg(long, env = "CENET_REQUEST_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub request_timeout_ms: u64,

    /// Threads that decode and preprocess; 0 means one a core
    #[arg(long, env = "CENET_DECODE_THREADS", value_name = "N", default_value_t = 0)]
    pub decode_threads: usize,
}

impl Default for LimitOptions {
    /// What the command line takes when nothing is said.
    fn default() -> Self {
        let nothing_said = Self::augment_args(Command::new("limits")).get_matches_from(["limits"]);
        Self::from_arg_matches(&nothing_said).expect("every option has a default")
    }
}

impl LimitOptions {
    /// How long a request may take whose sender allows it `wanted_ms`.
    pub fn request_timeout(&self, wanted_ms: Option<u64>) -> Duration {
        Duration::from_millis(wanted_ms.unwrap_or(u64::MAX).min(self.request_timeout_ms))
    }

    /// The same for the decoder.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.max_image_pixels }
    }
}
