//! What is counted. The server's own figures have a registry here; each model's lie with the model, so that they go when it goes. What
//! is a state rather than a count is looked at when somebody asks: `scrape.rs`.
//!
//! No label holds what a caller made up.

pub mod families;
mod family;
mod gathered;
mod model;
mod server;

pub use family::{Family, Kind};
pub use gathered::Gathered;
pub use model::ModelMetrics;
pub use server::{Active, Answered, Metrics, Protocol};

use prometheus::Histogram;

/// A histogram of batch sizes, for a network's own.
pub fn batch_sizes() -> Histogram {
    families::BATCH_SIZE.plain_histogram(&[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0])
}
