//! The one way of a request, whichever face it came in by: admission, decode, preprocess, network, postprocess.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use image::RgbImage;
use ndarray::{Array3, ArrayD};

use crate::admission::{Admission, MemoryBudget, MemoryShare};
use crate::config::LimitOptions;
use crate::cpu::{CpuPool, Wanted};
use crate::deadline::Deadline;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::metrics::Metrics;
use crate::model::{Model, Repository};
use crate::reading::Reading;
use crate::request::{Finding, ImageResult, InferRequest, InferResponse, Terms, Timings};
use crate::shutdown::Shutdown;
use crate::vision::decode::{DecodeLimits, decode, read_header};
use crate::vision::detect::Source;
use crate::vision::draw::{draw, encode};

/// What every request shares.
#[derive(Debug)]
pub struct Engine {
    /// The models that are served.
    pub models: Arc<Repository>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How far the server is on its way to its end.
    pub shutdown: Shutdown,
    /// What bodies and decoded pictures may take.
    pub memory: MemoryBudget,
    admission: Admission,
    limits: LimitOptions,
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
            models: Arc::new(models),
            metrics: Arc::new(Metrics::new()),
            shutdown: Shutdown::new(),
            memory: MemoryBudget::new(u64::from(limits.memory_budget_mib) << 20),
            admission: Admission::new("in all", usize::from(limits.max_images_in_flight)),
            limits: limits.clone(),
            cpu: CpuPool::new(limits.decode_threads).map_err(io::Error::other)?,
            decode_limits: limits.decode_limits(),
        })
    }

    /// Whether traffic is wanted.
    ///
    /// # Errors
    /// `Unavailable`, saying why: the server is on its way to its end, or a model of it is out of service, or there is none.
    pub fn check_ready(&self) -> Result<()> {
        let unavailable = |message: String| Err(InferError::new(ErrorKind::Unavailable, message));
        if self.shutdown.has_begun() {
            return unavailable("the server is shutting down".into());
        }
        let catalog = self.models.catalog();
        if catalog.models().next().is_none() {
            return unavailable("no model is served".into());
        }
        for model in catalog.models() {
            let name = &model.directory.name;
            model.health.check().or_else(|error| unavailable(format!("model {name}: {error}")))?;
        }
        Ok(())
    }

    /// The end of a request's time that begins now and whose sender allows it `wanted_ms`.
    pub fn deadline(&self, wanted_ms: Option<u64>) -> Deadline {
        Deadline::after(self.limits.request_timeout(wanted_ms), self.shutdown.clone())
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What is wrong with the request as a whole; what is wrong with one picture is that picture's result.
    pub async fn infer(&self, request: InferRequest) -> Result<InferResponse> {
        request.options.check()?;
        let (name, version) = (request.model.as_deref(), request.version.as_deref());
        let model = &Arc::clone(self.models.catalog().find(request.task, name, version)?);
        if request.images.is_empty() {
            return Err(InferError::new(ErrorKind::InvalidRequest, "the request holds no image"));
        }
        let reading = Arc::new(Reading::new(model, &request.options)?);
        let (pictures, terms) = (request.images.len(), &request.terms);
        let _in_all = self.admission.admit(pictures, terms.priority)?;
        let _in_model = model.admission.admit(pictures, terms.priority)?;
        let pictures = request.images.into_iter().map(|image| self.infer_image(model, image, &reading, terms));
        let answers = async { Ok(join_all(pictures).await) };
        Ok(InferResponse { model: Arc::clone(model), results: terms.deadline.bound(answers).await? })
    }

    async fn infer_image(
        &self,
        model: &Arc<Model>,
        image: Bytes,
        reading: &Arc<Reading>,
        terms: &Terms,
    ) -> Result<ImageResult> {
        let result = self.run_stages(model, image, reading, terms).await;
        self.metrics.record_image(&model.directory.name, &result);
        model.health.record(&result);
        result
    }

    async fn run_stages(
        &self,
        model: &Arc<Model>,
        image: Bytes,
        reading: &Arc<Reading>,
        terms: &Terms,
    ) -> Result<ImageResult> {
        let started = Instant::now();
        let mut timings = Timings::default();
        let preparation = Preparation {
            model: Arc::clone(model),
            limits: self.decode_limits,
            memory: self.memory.clone(),
            drawn: reading.render.is_some(),
        };
        let prepared = self.cpu.run(move |wanted| preparation.prepare(&image, wanted)).await?;
        (timings.decode, timings.preprocess) = (prepared.decode, prepared.preprocess);
        let Prepared { picture, tensor, source, memory: _held, .. } = prepared;
        let answer = model.batcher.infer(tensor.into_dyn(), terms.priority).await?;
        (timings.queue, timings.inference) = (answer.queue, answer.inference);
        let finishing = Instant::now();
        let (reading, owner) = (Arc::clone(reading), Arc::clone(model));
        let finish = move || finish(&reading, &owner, &answer.outputs, &source, picture);
        // labels are read in microseconds; boxes with masks and a drawing keep a core busy
        let finished =
            if model.directory.manifest.task == Task::Classify { finish() } else { self.cpu.run(|_| finish()).await };
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
    /// What the picture takes, as long as it is held.
    memory: Option<MemoryShare>,
    decode: Duration,
    preprocess: Duration,
}

/// How a picture is prepared for a model.
struct Preparation {
    model: Arc<Model>,
    limits: DecodeLimits,
    memory: MemoryBudget,
    /// The picture will be drawn on.
    drawn: bool,
}

impl Preparation {
    fn prepare(&self, image: &[u8], wanted: &dyn Wanted) -> Result<Prepared> {
        let directory = &self.model.directory;
        let started = Instant::now();
        let share = self.memory.take(read_header(image, &self.limits)?.decoded_bytes())?;
        let picture = decode(image, (&directory.manifest.preprocess).into(), &self.limits)?;
        let decoded = Instant::now();
        wanted.check()?;
        let (tensor, geometry) = directory.preprocessor.tensor(&picture)?;
        let source = Source { geometry, width: picture.width(), height: picture.height() };
        let preprocess = decoded.elapsed();
        let (picture, memory) = if self.drawn { (picture, Some(share)) } else { (RgbImage::default(), None) };
        Ok(Prepared { picture, tensor, source, memory, decode: decoded - started, preprocess })
    }
}
