//! A load's report: for people at a terminal, for programs, and to keep.

mod html;
mod svg;
mod table;

use serde::Serialize;

pub use html::html;
pub use table::{HEAD, row};

use super::tally::Summary;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The server.
    pub url: String,
    /// `http` or `grpc`.
    pub protocol: String,
    /// `classify` or `detect`.
    pub task: String,
    /// The model that was named, if any.
    pub model: Option<String>,
    /// Different pictures that were asked about.
    pub pictures: usize,
    /// Seconds of each run that were counted.
    pub duration_s: f64,
    /// The runs, in their order.
    pub runs: Vec<RunReport>,
    /// Where the server stopped keeping up, if that was looked for.
    pub knee: Option<Knee>,
    /// Whether it was ended before its end.
    pub interrupted: bool,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// How the server was loaded.
    #[serde(flatten)]
    pub load: Load,
    /// What came of it.
    #[serde(flatten)]
    pub summary: Summary,
}

/// How a server is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub enum Load {
    /// Clients that wait for each answer.
    Closed {
        /// So many.
        clients: usize,
    },
    /// Requests that come when they are due.
    Open {
        /// So many each second.
        rate_per_s: f64,
    },
}

/// The highest rate that the server kept up with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Knee {
    /// Requests each second; none where it kept up with no rate that was tried.
    pub rate_per_s: Option<f64>,
    /// A hundredth was allowed to take longer.
    pub p99_bound_ms: Option<f64>,
    /// This share of what was asked in a second had to be answered in it.
    pub answered_share: f64,
}
