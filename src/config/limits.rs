//! What the server takes at most.

use crate::vision::decode::DecodeLimits;

/// What the server takes at most.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Bytes of a request's body; more are answered 413
    #[arg(long, env = "CENET_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 32 << 20)]
    pub max_body_bytes: usize,

    /// Pixels of a picture, width times height; more are answered 413 before anything is decoded
    #[arg(long, env = "CENET_MAX_IMAGE_PIXELS", value_name = "PIXELS", default_value_t = 50_000_000)]
    pub max_image_pixels: u64,

    /// Pictures in flight over all requests; further ones are answered 429
    #[arg(long, env = "CENET_MAX_IMAGES_IN_FLIGHT", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_images_in_flight: u16,

    /// Threads that decode and preprocess; 0 means one a core
    #[arg(long, env = "CENET_DECODE_THREADS", value_name = "N", default_value_t = 0)]
    pub decode_threads: usize,
}

impl LimitOptions {
    /// The same for the decoder.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.max_image_pixels }
    }
}
