//! What is asked and what is answered: the types that both faces and every step of a request's way share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::admission::{MemoryShare, Priority};
use crate::deadline::Deadline;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::model::Model;
pub use crate::telemetry::Stage;
use crate::telemetry::Trace;
use crate::vision::detect::Detection;
use crate::vision::draw::PictureFormat;
use crate::vision::postprocess::Prediction;

/// Labels that an answer holds when nobody says how many.
pub const DEFAULT_TOP_K: usize = 5;

/// Pictures for one model.
#[derive(Debug)]
pub struct InferRequest {
    /// What is asked for.
    pub task: Task,
    /// The model's name; the only model of the task when absent.
    pub model: Option<String>,
    /// The model's version; the newest when absent.
    pub version: Option<String>,
    /// Each picture's file as it came.
    pub images: Vec<Bytes>,
    /// What the answer should hold.
    pub options: InferOptions,
    /// How long it may take, how much it matters.
    pub terms: Terms,
}

/// How a request wants to be treated.
#[derive(Debug)]
pub struct Terms {
    /// When it is answered at the latest.
    pub deadline: Deadline,
    /// How much it matters.
    pub priority: Priority,
    /// The memory that its body takes; none where nobody counts.
    pub body: Option<MemoryShare>,
    /// What is told of it belongs here.
    pub trace: Trace,
    /// Whom it asks, once that is known.
    pub asked: Asked,
}

/// The model that a request asks, for whoever watches the request; of a stream, the first one. Clones are of one request.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<OnceLock<Arc<Model>>>);

impl Asked {
    /// Tells whom.
    pub(crate) fn tell(&self, model: &Arc<Model>) {
        // a stream's later requests may ask others
        let _ = self.0.set(Arc::clone(model));
    }

    /// The model, where it is known.
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.0.get()
    }
}

impl Terms {
    /// No haste and no limit: for a program that asks itself.
    pub fn at_leisure() -> Self {
        Self {
            deadline: Deadline::never(),
            priority: Priority::Normal,
            body: None,
            trace: Trace::none(),
            asked: Asked::default(),
        }
    }
}

/// What the answer should hold; what is absent is as the model or the server has it.
#[derive(Debug, Clone, Default)]
pub struct InferOptions {
    /// At most so many labels; [`DEFAULT_TOP_K`] when absent, all when more than there are.
    pub top_k: Option<usize>,
    /// Only labels or boxes whose score is at least this.
    pub threshold: Option<f32>,
    /// Overlap of two boxes of a class above which the lower score goes.
    pub iou: Option<f32>,
    /// At most so many boxes.
    pub max_detections: Option<usize>,
    /// Only boxes with these labels.
    pub classes: Option<Vec<String>>,
    /// Also the picture with its boxes drawn, as such a file.
    pub render: Option<PictureFormat>,
}

/// What a model says of each picture, in the request's order.
#[derive(Debug)]
pub struct InferResponse {
    /// The model that answered.
    pub model: Arc<Model>,
    /// One result a picture; one picture's failure leaves the others alone.
    pub results: Vec<Result<ImageResult>>,
}

/// What a model says of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageResult {
    /// Width and height of the upright picture, in pixels.
    pub size: [u32; 2],
    /// What was found.
    pub finding: Finding,
    /// The picture's file with its boxes drawn, where that was asked for.
    pub rendered: Option<Bytes>,
    /// Where the time went.
    pub timings: Timings,
}

/// What a model finds, by its task.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Labels of the whole picture, best first.
    Labels(Vec<Prediction>),
    /// Boxes on it, best first.
    Boxes(Vec<Detection>),
}

/// How long each stage of one picture took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// File to pixels.
    pub decode: Duration,
    /// Pixels to tensor.
    pub preprocess: Duration,
    /// Waiting for the network.
    pub queue: Duration,
    /// The network.
    pub inference: Duration,
    /// Outputs to labels.
    pub postprocess: Duration,
    /// From admission to answer; more than the sum where the picture waited for a core.
    pub total: Duration,
}

impl Timings {
    /// The longer time of each stage.
    pub(crate) fn max(self, other: &Self) -> Self {
        Self {
            decode: self.decode.max(other.decode),
            preprocess: self.preprocess.max(other.preprocess),
            queue: self.queue.max(other.queue),
            inference: self.inference.max(other.inference),
            postprocess: self.postprocess.max(other.postprocess),
            total: self.total.max(other.total),
        }
    }

    /// Every stage with its time, in their order, without the total.
    pub fn stages(&self) -> [(Stage, Duration); 5] {
        [
            (Stage::Decode, self.decode),
            (Stage::Preprocess, self.preprocess),
            (Stage::Queue, self.queue),
            (Stage::Inference, self.inference),
            (Stage::Postprocess, self.postprocess),
        ]
    }
}

impl InferOptions {
    /// # Errors
    /// `InvalidParameter` naming the option that is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let outside = |share: Option<f32>| share.is_some_and(|share| !(0.0..=1.0).contains(&share));
        let message = if self.top_k == Some(0) {
            "top_k must be at least 1"
        } else if self.max_detections == Some(0) {
            "max_detections must be at least 1"
        } else if self.threshold.is_some_and(|threshold| !threshold.is_finite()) {
            "threshold must be a finite number"
        } else if outside(self.iou) {
            "iou must be from 0 to 1"
        } else {
            return Ok(());
        };
        Err(InferError::new(ErrorKind::InvalidParameter, message))
    }
}
