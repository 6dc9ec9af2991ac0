//! What the handlers share.

use std::sync::Arc;

use crate::infer::Engine;

/// What every handler may use.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The core.
    pub engine: Arc<Engine>,
    /// The most bytes that a body may have.
    pub max_body_bytes: usize,
}
