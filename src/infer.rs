//! The one way of a request, whichever face it came in by: admission, decode, preprocess, network, postprocess.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use image::RgbImage;
use ndarray::{Array3, ArrayD};

use crate::admission::Admission;
use crate::config::LimitOptions;
use crate::cpu::CpuPool;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::metrics::Metrics;
use crate::model::{Model, Repository};
use crate::reading::Reading;
use crate::request::{Finding, ImageResult, InferRequest, InferResponse, Timings};
use crate::vision::decode::{DecodeLimits, decode};
use crate::vision::detect::Source;
use crate::vision::draw::{draw, encode};

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
        let reading = Arc::new(Reading::new(model, &request.options)?);
        let _permit = self.admission.admit(request.images.len())?;
        let pictures = request.images.into_iter().map(|image| self.infer_image(model, image, &reading));
        Ok(InferResponse { model: Arc::clone(model), results: join_all(pictures).await })
    }

    async fn infer_image(&self, model: &Arc<Model>, image: Bytes, reading: &Arc<Reading>) -> Result<ImageResult> {
        let result = self.run_stages(model, image, reading).await;
        self.metrics.record_image(&model.directory.name, &result);
        result
    }

    async fn run_stages(&self, model: &Arc<Model>, image: Bytes, reading: &Arc<Reading>) -> Result<ImageResult> {
        let started = Instant::now();
        let mut timings = Timings::default();
        let (owner, limits, drawn) = (Arc::clone(model), self.decode_limits, reading.render.is_some());
        let prepared = self.cpu.run(move || prepare(&image, &owner, &limits, drawn)).await?;
        (timings.decode, timings.preprocess) = (prepared.decode, prepared.preprocess);
        let answer = model.batcher.infer(prepared.tensor.into_dyn()).await?;
        (timings.queue, timings.inference) = (answer.queue, answer.inference);
        let finishing = Instant::now();
        let (source, reading, owner) = (prepared.source, Arc::clone(reading), Arc::clone(model));
        let finish = move || finish(&reading, &owner, &answer.outputs, &source, prepared.picture);
        // labels are read in microseconds; boxes with masks and a drawing keep a core busy
        let finished =
            if model.directory.manifest.task == Task::Classify { finish() } else { self.cpu.run(finish).await };
        let (finding, rendered) = finished?;
        timings.postprocess = finishing.elapsed();
        timings.total = started.elapsed();
        Ok(ImageResult { size: [source.width, source.height], finding, rendered, timings })
    }
}

/// Reads the network's outputs, and draws what they say where that is asked for.
fn finish(
    reading: &Reading,
    model: &Model,
    outputs: &[ArrayD<f32>],
    source: &Source,
    mut picture: RgbImage,
) -> Result<(Finding, Option<Bytes>)> {
    let outputs: Vec<_> = model.head_outputs.iter().map(|&position| &outputs[position]).collect();
    let finding = reading.read(&model.directory, &outputs, source)?;
    let (Some(format), Finding::Boxes(boxes)) = (reading.render, &finding) else { return Ok((finding, None)) };
    draw(&mut picture, boxes);
    let file = encode(&picture, format)?;
    Ok((finding, Some(Bytes::from(file))))
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
