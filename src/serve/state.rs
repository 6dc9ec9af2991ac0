//! What the handlers share.

use std::sync::Arc;

use crate::config::LimitOptions;
use crate::infer::Engine;

/// What every handler may use.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The core.
    pub engine: Arc<Engine>,
    /// The most bytes that a body or a message may have.
    pub max_body_bytes: usize,
    /// Requests of one stream that are in flight at once.
    pub stream_in_flight: usize,
    /// Web pages that may ask from a browser, by origin, beside the server's own.
    pub cors_origins: Arc<[String]>,
}

impl AppState {
    /// The handlers' part of `limits`, and the core.
    pub fn new(engine: Arc<Engine>, limits: &LimitOptions) -> Self {
        let LimitOptions { max_body_bytes, stream_in_flight, .. } = *limits;
        Self { engine, max_body_bytes, stream_in_flight: usize::from(stream_in_flight), cors_origins: Arc::default() }
    }
}
