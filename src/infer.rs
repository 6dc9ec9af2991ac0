//! The one way of a request, whichever face it came in by: admission, decode, preprocess, network, postprocess.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use image::RgbImage;
use ndarray::ArrayD;

use crate::access::Access;
use crate::admission::{Admission, MemoryBudget, MemoryShare, Permit, Priority};
use crate::config::LimitOptions;
use crate::cpu::CpuPool;
use crate::deadline::Deadline;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::metrics::Metrics;
use crate::model::{Model, Repository};
use crate::reading::Reading;
use crate::request::{Finding, ImageResult, InferRequest, InferResponse, Terms, Timings};
use crate::shutdown::Shutdown;
use crate::stages::{Seen, Stages};
use crate::telemetry::{LogControl, Span, Stage, Trace, Tracer};
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
    /// Whether the server is changed by calls: its models, and what its log lets through.
    pub model_calls: bool,
    /// Who may do what; everybody everything, where there is none.
    pub access: Option<Access>,
    /// Which requests are traced.
    pub tracer: Tracer,
    /// What the log lets through, where the program has one.
    pub log: Option<LogControl>,
    /// Whether requests and pictures are counted, and what is counted is told.
    pub counts: bool,
    pub(crate) stages: Stages,
    pub(crate) admission: Admission,
    limits: LimitOptions,
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
            model_calls: false,
            counts: true,
            access: None,
            tracer: Tracer::off(),
            log: None,
            admission: Admission::in_all(usize::from(limits.max_images_in_flight)),
            limits: limits.clone(),
            stages: Stages {
                cpu: CpuPool::new(limits.decode_threads).map_err(io::Error::other)?,
                limits: limits.decode_limits(),
                memory: MemoryBudget::new(u64::from(limits.memory_budget_mib) << 20),
            },
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

    /// Runs `work` that keeps a core busy on the bounded pool for it.
    ///
    /// # Errors
    /// As `work`; `Internal` when it panics.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        self.stages.cpu.run(|_| work()).await
    }

    /// A share of `bytes` of the memory that bodies and decoded pictures may take.
    ///
    /// # Errors
    /// As [`MemoryBudget::take`].
    pub fn take_memory(&self, bytes: u64) -> Result<MemoryShare> {
        self.stages.memory.take(bytes).inspect_err(|error| self.reject(None, error))
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
        let model = Arc::clone(self.models.catalog().find(request.task, name, version)?);
        request.terms.asked.tell(&model);
        let outcome = self.ask(&model, request).await;
        outcome.inspect_err(|error| self.reject(Some(&model), error))
    }

    async fn ask(&self, model: &Arc<Model>, request: InferRequest) -> Result<InferResponse> {
        model.health.check()?;
        if request.images.is_empty() {
            return Err(InferError::new(ErrorKind::InvalidRequest, "the request holds no image"));
        }
        let reading = Arc::new(Reading::new(model, &request.options)?);
        let terms = &request.terms;
        let _permits = self.admit(model, request.images.len(), terms.priority)?;
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
        let mut span = picture_span(model, &terms.trace);
        let result = self.run_stages(model, image, reading, terms, span.trace()).await;
        span.tell(result.as_ref().map(drop));
        let timings = result.as_ref().map(|image| &image.timings);
        self.record(model, timings);
        model.statistics.record(1, timings);
        result
    }

    async fn run_stages(
        &self,
        model: &Arc<Model>,
        image: Bytes,
        reading: &Arc<Reading>,
        terms: &Terms,
        trace: &Trace,
    ) -> Result<ImageResult> {
        let started = Instant::now();
        let seen = self.stages.look(model, image, terms.priority, reading.render.is_some(), trace).await?;
        let Seen { outputs, picture, source, mut timings, memory: _held } = seen;
        let finishing = Instant::now();
        let (reading, owner) = (Arc::clone(reading), Arc::clone(model));
        let finish = move || finish(&reading, &owner, &outputs, &source, picture);
        // labels are read in microseconds; boxes with masks and a drawing keep a core busy
        let finished = match model.directory.manifest.task {
            Task::Classify => finish(),
            Task::Detect => self.stages.cpu.run(|_| finish()).await,
        };
        let ended = Instant::now();
        trace.stage(Stage::Postprocess, [finishing, ended], finished.as_ref().map(drop));
        let (finding, rendered) = finished?;
        timings.postprocess = ended - finishing;
        timings.total = started.elapsed();
        Ok(ImageResult { size: [source.width, source.height], finding, rendered, timings })
    }

    /// Counts what became of a picture or tensor.
    pub(crate) fn record(&self, model: &Model, outcome: std::result::Result<&Timings, &InferError>) {
        if self.counts {
            model.metrics.record_image(outcome);
        }
        model.health.record(outcome);
    }

    /// Counts `error` where it turns a request away, for the model that was asked, if any was.
    pub(crate) fn reject(&self, model: Option<&Model>, error: &InferError) {
        let Some(rejection) = error.rejection.filter(|_| self.counts) else { return };
        match model {
            Some(model) => model.metrics.record_rejection(rejection),
            None => self.metrics.record_rejection(rejection),
        }
    }

    /// A place for `pictures` in the server and in `model`, or for none of them.
    ///
    /// # Errors
    /// As [`Admission::admit`].
    pub(crate) fn admit(&self, model: &Model, pictures: usize, priority: Priority) -> Result<[Permit; 2]> {
        Ok([self.admission.admit(pictures, priority)?, model.admission.admit(pictures, priority)?])
    }
}

/// Of one picture's way.
pub(crate) fn picture_span(model: &Model, trace: &Trace) -> Span {
    let mut span = trace.span("picture");
    if trace.is_recorded() {
        span.set("cenet.model.name", model.directory.name.clone());
        span.set("cenet.model.version", i64::from(model.directory.version));
    }
    span
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
