//! The one way of a request, whichever face it came in by: admission, decode, preprocess, network, postprocess.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use image::RgbImage;
use ndarray::Array3;

use crate::admission::Admission;
use crate::config::LimitOptions;
use crate::cpu::CpuPool;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::metrics::{Metrics, Stage};
use crate::model::{Model, Repository};
use crate::reading::Reading;
use crate::vision::decode::{DecodeLimits, decode};
use crate::vision::detect::{Detection, Source};
use crate::vision::draw::{PictureFormat, draw, encode};
use crate::vision::postprocess::Prediction;

/// Labels that an answer holds when nobody says how many.
pub const DEFAULT_TOP_K: usize = 5;

/// What every request shares.
#[derive(Debug)]
pub struct Engine {
    /// The models that are served.
    pub models: Repository,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    admission: Admission,
    cpu: CpuPool,
    decode_limits: DecodeLimits,
}

/// Pictures for one model.
#[derive(Debug, Clone)]
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
    fn check(&self) -> Result<()> {
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

impl Engine {
    /// An engine over `models` that takes what `limits` say.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new(models: Repository, limits: &LimitOptions) -> io::Result<Self> {
        Ok(Self {
            models,
            metrics: Arc::new(Metrics::new()),
            admission: Admission::new(usize::from(limits.max_images_in_flight)),
            cpu: CpuPool::new(limits.decode_threads).map_err(io::Error::other)?,
            decode_limits: limits.decode_limits(),
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What is wrong with the request as a whole; what is wrong with one picture is that picture's result.
    pub async fn infer(&self, request: InferRequest) -> Result<InferResponse> {
        request.options.check()?;
        let model = self.models.find(request.task, request.model.as_deref(), request.version.as_deref())?;
        if request.images.is_empty() {
            return Err(InferError::new(ErrorKind::InvalidRequest, "the request holds no image"));
        }
        let reading = Reading::new(model, &request.options)?;
        let _permit = self.admission.admit(request.images.len())?;
        let pictures = request.images.into_iter().map(|image| self.infer_image(model, image, &reading));
        Ok(InferResponse { model: Arc::clone(model), results: join_all(pictures).await })
    }

    async fn infer_image(&self, model: &Arc<Model>, image: Bytes, reading: &Reading) -> Result<ImageResult> {
        let result = self.run_stages(model, image, reading).await;
        self.metrics.record_image(&model.directory.name, &result);
        result
    }

    async fn run_stages(&self, model: &Arc<Model>, image: Bytes, reading: &Reading) -> Result<ImageResult> {
        let started = Instant::now();
        let mut timings = Timings::default();
        let (owner, limits, drawn) = (Arc::clone(model), self.decode_limits, reading.render.is_some());
        let mut prepared = self.cpu.run(move || prepare(&image, &owner, &limits, drawn)).await?;
        (timings.decode, timings.preprocess) = (prepared.decode, prepared.preprocess);
        let answer = model.batcher.infer(prepared.tensor.into_dyn()).await?;
        (timings.queue, timings.inference) = (answer.queue, answer.inference);
        let finishing = Instant::now();
        let outputs: Vec<_> = model.head_outputs.iter().map(|&position| &answer.outputs[position]).collect();
        let finding = reading.read(&model.directory, &outputs, &prepared.source)?;
        let rendered = self.render(reading, &finding, std::mem::take(&mut prepared.picture)).await?;
        timings.postprocess = finishing.elapsed();
        timings.total = started.elapsed();
        Ok(ImageResult { size: [prepared.source.width, prepared.source.height], finding, rendered, timings })
    }

    async fn render(&self, reading: &Reading, finding: &Finding, mut picture: RgbImage) -> Result<Option<Bytes>> {
        let (Some(format), Finding::Boxes(boxes)) = (reading.render, finding) else { return Ok(None) };
        let boxes = boxes.clone();
        let file = self.cpu.run(move || {
            draw(&mut picture, &boxes);
            encode(&picture, format)
        });
        Ok(Some(Bytes::from(file.await?)))
    }
}

struct Prepared {
    /// Upright, in its own size; empty where it isn't drawn on.
    picture: RgbImage,
    tensor: Array3<f32>,
    source: Source,
    decode: Duration,
    preprocess: Duration,
}

fn prepare(image: &[u8], model: &Model, limits: &DecodeLimits, drawn: bool) -> Result<Prepared> {
    let preprocess = &model.directory.manifest.preprocess;
    let started = Instant::now();
    let picture = decode(image, preprocess.into(), limits)?;
    let decoded = Instant::now();
    let (tensor, geometry) = model.directory.preprocessor.tensor(&picture)?;
    let source = Source { geometry, width: picture.width(), height: picture.height() };
    let preprocess = decoded.elapsed();
    let picture = if drawn { picture } else { RgbImage::default() };
    Ok(Prepared { picture, tensor, source, decode: decoded - started, preprocess })
}
