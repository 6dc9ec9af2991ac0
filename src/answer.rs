//! The JSON of an answer, the same for the server and for the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::infer::{ImageResult, Timings};
use crate::model::Model;
use crate::vision::postprocess::Prediction;

/// What a model says of one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// Labels, best first.
    pub predictions: Vec<Prediction>,
    /// Milliseconds by stage, and `total`.
    pub timings_ms: BTreeMap<&'static str, f64>,
}

impl Answer {
    /// The answer of `model` for one picture.
    pub fn new(model: &Model, result: ImageResult) -> Self {
        Self {
            model: model.directory.name.clone(),
            version: model.directory.version.to_string(),
            timings_ms: timings_ms(&result.timings),
            predictions: result.predictions,
        }
    }
}

fn timings_ms(timings: &Timings) -> BTreeMap<&'static str, f64> {
    let stages = timings.stages().map(|(stage, duration)| (stage.name(), milliseconds(duration)));
    stages.into_iter().chain([("total", milliseconds(timings.total))]).collect()
}

/// To a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
