//! The JSON of an answer, the same for the server and for the command line.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Model;
use crate::request::{Finding, ImageResult, Timings};
use crate::vision::detect::Detection;
use crate::vision::postprocess::Prediction;

/// What a model says of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Answer {
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: Found,
    /// Where the time went.
    pub timings_ms: TimingsMs,
}

/// What was found, by the model's task.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Found {
    /// A classifier's.
    Labels {
        /// Labels, best first.
        predictions: Vec<Prediction>,
    },
    /// A detector's.
    Boxes {
        /// Size of the picture that the boxes lie on.
        image: ImageSize,
        /// Boxes, best first.
        detections: Vec<Detection>,
    },
}

/// Size of an upright picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSize {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// How long each stage took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct TimingsMs {
    /// File to pixels.
    pub decode: f64,
    /// Pixels to tensor.
    pub preprocess: f64,
    /// Waiting for the network.
    pub queue: f64,
    /// The network.
    pub inference: f64,
    /// Outputs to labels.
    pub postprocess: f64,
    /// From admission to answer.
    pub total: f64,
}

impl Answer {
    /// The answer of `model` for one picture.
    pub fn new(model: &Model, result: ImageResult) -> Self {
        let [width, height] = result.size;
        Self {
            model: model.directory.name.clone(),
            version: model.directory.version.to_string(),
            timings_ms: TimingsMs::from(&result.timings),
            finding: match result.finding {
                Finding::Labels(predictions) => Found::Labels { predictions },
                Finding::Boxes(detections) => Found::Boxes { image: ImageSize { width, height }, detections },
            },
        }
    }
}

impl From<&Timings> for TimingsMs {
    fn from(timings: &Timings) -> Self {
        Self {
            decode: milliseconds(timings.decode),
            preprocess: milliseconds(timings.preprocess),
            queue: milliseconds(timings.queue),
            inference: milliseconds(timings.inference),
            postprocess: milliseconds(timings.postprocess),
            total: milliseconds(timings.total),
        }
    }
}

/// To a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
