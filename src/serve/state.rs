//! What the handlers share.

use std::sync::Arc;

use crate::infer::Engine;
use crate::shutdown::Readiness;

/// What every handler may use.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The core.
    pub engine: Arc<Engine>,
    /// Whether traffic is wanted.
    pub readiness: Readiness,
}
