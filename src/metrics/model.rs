//! What is counted of one model. It lies with the model: nothing is looked up by name while a request is answered, and an unloaded
//! model's series are gone.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::Gathered;
use super::families::{CANARIES, DECODED_BYTES, IMAGE_DURATION, IMAGES, REJECTIONS, REQUESTS, STAGE_DURATION};
use super::server::Answered;
use crate::error::{InferError, Rejection};
use crate::request::{Stage, Timings};

/// Upper bounds of the stages' times, in seconds: reading labels takes some ten microseconds.
const STAGE_BUCKETS: &[f64] = &[
    0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// Upper bounds of a picture's whole time, in seconds.
const IMAGE_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];

/// What is counted of one model.
#[derive(Debug)]
pub struct ModelMetrics {
    requests: IntCounterVec,
    rejections: IntCounterVec,
    images: IntCounterVec,
    answered: IntCounter,
    duration: Histogram,
    stages: HistogramVec,
    stage: [Histogram; 5],
    decoded_bytes: IntCounter,
    canaries: IntCounterVec,
}

impl ModelMetrics {
    /// All at zero.
    pub fn new() -> Self {
        let [requests, rejections, images, canaries] =
            [REQUESTS, REJECTIONS, IMAGES, CANARIES].map(|family| family.counter_of_model());
        let stages = STAGE_DURATION.histogram_of_model(STAGE_BUCKETS);
        Self {
            answered: images.with_label_values(&["ok"]),
            duration: IMAGE_DURATION.plain_histogram(IMAGE_BUCKETS),
            stage: Stage::ALL.map(|stage| stages.with_label_values(&[stage.name()])),
            decoded_bytes: DECODED_BYTES.plain_counter(),
            requests,
            rejections,
            images,
            stages,
            canaries,
        }
    }

    /// Counts a request that asked the model.
    pub(super) fn record_request(&self, answered: &Answered<'_>) {
        self.requests.with_label_values(&[answered.protocol.name(), answered.route, answered.status]).inc();
    }

    /// Counts a request, or a picture of one, that was turned away.
    pub fn record_rejection(&self, rejection: Rejection) {
        self.rejections.with_label_values(&[rejection.reason()]).inc();
    }

    /// Counts what became of a picture or tensor, and its stages when it was answered.
    pub fn record_image(&self, outcome: Result<&Timings, &InferError>) {
        match outcome {
            Ok(timings) => {
                self.answered.inc();
                self.duration.observe(timings.total.as_secs_f64());
                let passed = timings.stages().into_iter().zip(&self.stage).filter(|((_, time), _)| !time.is_zero());
                passed.for_each(|((_, time), histogram)| histogram.observe(time.as_secs_f64()));
            }
            Err(error) => {
                self.images.with_label_values(&[error.kind.code()]).inc();
                error.rejection.into_iter().for_each(|rejection| self.record_rejection(rejection));
            }
        }
    }

    /// Counts the memory that a picture is given for being decoded.
    pub fn record_decoded(&self, bytes: u64) {
        self.decoded_bytes.inc_by(bytes);
    }

    /// Counts a known picture.
    pub fn record_canary<T>(&self, outcome: &Result<T, InferError>) {
        self.canaries.with_label_values(&[if outcome.is_ok() { "ok" } else { "failed" }]).inc();
    }

    /// Adds all of it to `gathered`, with the model's name and version.
    pub fn gather(&self, gathered: &mut Gathered, name: &str, version: &str) {
        let Self { requests, rejections, images, canaries, stages, duration, decoded_bytes, .. } = self;
        for counter in [requests, rejections, images, canaries] {
            gathered.add_of_model(counter, name, version);
        }
        gathered.add_of_model(decoded_bytes, name, version);
        gathered.add_of_model(stages, name, version);
        gathered.add_of_model(duration, name, version);
    }
}

impl Default for ModelMetrics {
    fn default() -> Self {
        Self::new()
    }
}
