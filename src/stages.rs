//! The stages between admission and reading: decode and preprocess on the bounded pool, then the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use image::RgbImage;
use ndarray::{Array3, ArrayD};

use crate::admission::{MemoryBudget, MemoryShare, Priority};
use crate::batch::Answer;
use crate::cpu::{CpuPool, Wanted};
use crate::error::Result;
use crate::model::Model;
use crate::request::{Stage, Timings};
use crate::telemetry::Trace;
use crate::vision::decode::{DecodeLimits, decode, read_header};
use crate::vision::detect::Source;

/// What pictures go through.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) cpu: CpuPool,
    pub(crate) limits: DecodeLimits,
    pub(crate) memory: MemoryBudget,
}

/// What a network saw in a picture, with what is needed to read it.
pub(crate) struct Seen {
    /// An array for each output of the network, without a batch axis.
    pub(crate) outputs: Vec<ArrayD<f32>>,
    /// Upright, in its own size; empty unless it was to be kept.
    pub(crate) picture: RgbImage,
    pub(crate) source: Source,
    pub(crate) timings: Timings,
    /// What the picture takes, as long as it is held.
    pub(crate) memory: Option<MemoryShare>,
}

impl Stages {
    /// From a picture's file to the network's outputs.
    pub(crate) async fn look(
        &self,
        model: &Arc<Model>,
        file: Bytes,
        priority: Priority,
        keep: bool,
        trace: &Trace,
    ) -> Result<Seen> {
        let (memory, trace) = (self.memory.clone(), trace.clone());
        let preparation = Preparation { model: Arc::clone(model), limits: self.limits, memory, keep, trace };
        // whoever has prepared the picture hands it on to the network: this task is woken by the answer alone, or when there is none to
        // come because the preparation failed
        let (ticket, answer) = model.batcher.ticket(priority);
        let preparing = self.cpu.run(move |wanted| {
            let (prepared, tensor) = preparation.prepare(&file, wanted)?;
            ticket.enqueue(tensor.into_dyn(), preparation.trace);
            Ok(prepared)
        });
        let answer = answer.await;
        let Prepared { picture, source, memory, decode, preprocess } = preparing.await?;
        let Answer { outputs, queue, inference } = answer?;
        let timings = Timings { decode, preprocess, queue, inference, ..Timings::default() };
        Ok(Seen { outputs, picture, source, timings, memory })
    }
}

/// From a tensor, without a batch axis, to the network's outputs.
pub(crate) async fn run_network(
    model: &Model,
    tensor: ArrayD<f32>,
    priority: Priority,
    trace: &Trace,
) -> Result<(Vec<ArrayD<f32>>, Timings)> {
    let (ticket, answer) = model.batcher.ticket(priority);
    ticket.enqueue(tensor, trace.clone());
    let answer = answer.await?;
    Ok((answer.outputs, Timings { queue: answer.queue, inference: answer.inference, ..Timings::default() }))
}

struct Prepared {
    picture: RgbImage,
    source: Source,
    memory: Option<MemoryShare>,
    decode: Duration,
    preprocess: Duration,
}

/// How a picture is prepared for a model.
struct Preparation {
    model: Arc<Model>,
    limits: DecodeLimits,
    memory: MemoryBudget,
    keep: bool,
    trace: Trace,
}

impl Preparation {
    fn prepare(&self, file: &[u8], wanted: &dyn Wanted) -> Result<(Prepared, Array3<f32>)> {
        let started = Instant::now();
        let decoded = self.decode(file);
        let decoded_at = Instant::now();
        self.trace.stage(Stage::Decode, [started, decoded_at], decoded.as_ref().map(drop));
        let (picture, share) = decoded?;
        wanted.check()?;
        let preprocessed = self.model.directory.preprocessor.tensor(&picture);
        let preprocessed_at = Instant::now();
        self.trace.stage(Stage::Preprocess, [decoded_at, preprocessed_at], preprocessed.as_ref().map(drop));
        let (tensor, geometry) = preprocessed?;
        let source = Source { geometry, width: picture.width(), height: picture.height() };
        let (decode, preprocess) = (decoded_at - started, preprocessed_at - decoded_at);
        let (picture, memory) = if self.keep { (picture, Some(share)) } else { (RgbImage::default(), None) };
        Ok((Prepared { picture, source, memory, decode, preprocess }, tensor))
    }

    /// The picture, and what it takes of the memory.
    fn decode(&self, file: &[u8]) -> Result<(RgbImage, MemoryShare)> {
        let bytes = read_header(file, &self.limits)?.decoded_bytes();
        let share = self.memory.take(bytes)?;
        self.model.metrics.record_decoded(bytes);
        let picture = decode(file, (&self.model.directory.manifest.preprocess).into(), &self.limits)?;
        Ok((picture, share))
    }
}
