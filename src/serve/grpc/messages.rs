//! Between the messages of `cenet.v1` and the types that both faces share.

use std::time::Duration;

use bytes::Bytes;

use super::proto::vision::{
    Box as Edges, Classification, ClassifyReply, ClassifyRequest, ClassifyResponse, ClassifyResult, DetectReply,
    DetectRequest, DetectResponse, DetectResult, Detection, Detections, ImageSize, Mask, PictureFormat, Prediction,
    Timings, classify_reply, classify_result, detect_reply, detect_result,
};
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::request::{self, Finding, ImageResult, InferOptions, InferRequest, InferResponse, Terms};
use crate::vision::{detect, draw};

/// A request of either task.
pub(super) trait Ask: Send + 'static {
    /// What answers it.
    type Answer: Send + 'static;
    /// What answers it in a stream.
    type Reply: Send + 'static;

    /// The caller's own name for it.
    fn id(&self) -> &str;
    /// The pictures' files.
    fn images(&self) -> &[Bytes];
    /// The same for the engine.
    fn into_infer(self, terms: Terms) -> Result<InferRequest>;
    /// What the engine says, for the request called `id`.
    fn answer(id: String, response: InferResponse) -> Self::Answer;
    /// The same in a stream, or what is wrong with the request.
    fn reply(id: String, outcome: Result<Self::Answer>) -> Self::Reply;
}

impl Ask for ClassifyRequest {
    type Answer = ClassifyResponse;
    type Reply = ClassifyReply;

    fn id(&self) -> &str {
        &self.id
    }

    fn images(&self) -> &[Bytes] {
        &self.images
    }

    fn into_infer(self, terms: Terms) -> Result<InferRequest> {
        let options = InferOptions {
            top_k: self.top_k.map(|count| count as usize),
            threshold: self.threshold,
            ..InferOptions::default()
        };
        let (model, version) = (named(self.model), named(self.version));
        Ok(InferRequest { task: Task::Classify, model, version, images: self.images, options, terms })
    }

    fn answer(id: String, response: InferResponse) -> ClassifyResponse {
        let (model, version) = names(&response);
        let result = |result: Result<ImageResult>| {
            let outcome = match result {
                Ok(image) => classify_result::Outcome::Classification(image.into()),
                Err(error) => classify_result::Outcome::Error(error.into()),
            };
            ClassifyResult { outcome: Some(outcome) }
        };
        ClassifyResponse { id, model, version, results: response.results.into_iter().map(result).collect() }
    }

    fn reply(id: String, outcome: Result<ClassifyResponse>) -> ClassifyReply {
        let outcome = match outcome {
            Ok(response) => classify_reply::Outcome::Response(response),
            Err(error) => classify_reply::Outcome::Error(error.into()),
        };
        ClassifyReply { id, outcome: Some(outcome) }
    }
}

impl Ask for DetectRequest {
    type Answer = DetectResponse;
    type Reply = DetectReply;

    fn id(&self) -> &str {
        &self.id
    }

    fn images(&self) -> &[Bytes] {
        &self.images
    }

    fn into_infer(self, terms: Terms) -> Result<InferRequest> {
        let options = InferOptions {
            threshold: self.threshold,
            iou: self.iou,
            max_detections: self.max_detections.map(|count| count as usize),
            render: format(self.render)?,
            classes: (!self.classes.is_empty()).then_some(self.classes),
            ..InferOptions::default()
        };
        let (model, version) = (named(self.model), named(self.version));
        Ok(InferRequest { task: Task::Detect, model, version, images: self.images, options, terms })
    }

    fn answer(id: String, response: InferResponse) -> DetectResponse {
        let (model, version) = names(&response);
        let result = |result: Result<ImageResult>| {
            let outcome = match result {
                Ok(image) => detect_result::Outcome::Detections(image.into()),
                Err(error) => detect_result::Outcome::Error(error.into()),
            };
            DetectResult { outcome: Some(outcome) }
        };
        DetectResponse { id, model, version, results: response.results.into_iter().map(result).collect() }
    }

    fn reply(id: String, outcome: Result<DetectResponse>) -> DetectReply {
        let outcome = match outcome {
            Ok(response) => detect_reply::Outcome::Response(response),
            Err(error) => detect_reply::Outcome::Error(error.into()),
        };
        DetectReply { id, outcome: Some(outcome) }
    }
}

/// An empty text names nothing.
fn named(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn names(response: &InferResponse) -> (String, String) {
    let directory = &response.model.directory;
    (directory.name.clone(), directory.version.to_string())
}

fn format(render: i32) -> Result<Option<draw::PictureFormat>> {
    match PictureFormat::try_from(render) {
        Ok(PictureFormat::Unspecified) => Ok(None),
        Ok(PictureFormat::Png) => Ok(Some(draw::PictureFormat::Png)),
        Ok(PictureFormat::Jpeg) => Ok(Some(draw::PictureFormat::Jpeg)),
        Err(_) => Err(InferError::new(ErrorKind::InvalidParameter, format!("{render} is no picture format"))),
    }
}

impl From<ImageResult> for Classification {
    fn from(image: ImageResult) -> Self {
        let Finding::Labels(found) = image.finding else { return Self::default() };
        let predictions = found.into_iter().map(|prediction| Prediction {
            label: prediction.label,
            index: prediction.index as u32,
            score: prediction.score,
        });
        Self {
            predictions: predictions.collect(),
            image: Some(size(image.size)),
            timings: Some((&image.timings).into()),
        }
    }
}

impl From<ImageResult> for Detections {
    fn from(image: ImageResult) -> Self {
        let Finding::Boxes(found) = image.finding else { return Self::default() };
        Self {
            detections: found.into_iter().map(Detection::from).collect(),
            image: Some(size(image.size)),
            rendered: image.rendered.unwrap_or_default(),
            timings: Some((&image.timings).into()),
        }
    }
}

impl From<detect::Detection> for Detection {
    fn from(detection: detect::Detection) -> Self {
        let [x1, y1, x2, y2] = detection.bounds;
        Self {
            label: detection.label,
            index: detection.index as u32,
            score: detection.score,
            r#box: Some(Edges { x1, y1, x2, y2 }),
            mask: detection.mask.map(|mask| {
                let [height, width] = mask.size();
                Mask { height, width, counts: mask.compressed() }
            }),
        }
    }
}

impl From<&request::Timings> for Timings {
    fn from(timings: &request::Timings) -> Self {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            decode_ms: milliseconds(timings.decode),
            preprocess_ms: milliseconds(timings.preprocess),
            queue_ms: milliseconds(timings.queue),
            inference_ms: milliseconds(timings.inference),
            postprocess_ms: milliseconds(timings.postprocess),
            total_ms: milliseconds(timings.total),
        }
    }
}

fn size([width, height]: [u32; 2]) -> ImageSize {
    ImageSize { width, height }
}
