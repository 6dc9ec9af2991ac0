//! A thread that owns one instance of a network: takes the batches that are due and answers each picture. A panic fails the batch,
//! not the thread; a batch that fails is run again picture by picture, so that only the culprit fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use ndarray::{ArrayD, Axis, concatenate};

use super::queue::Entry;
use super::shared::Shared;
use super::{Answer, BatchAxis, Job};
use crate::backend::Backend;
use crate::error::{ErrorKind, InferError, Result};
use crate::telemetry::{Span, Stage, Trace};

/// Runs until the queue is closed and empty.
pub(super) fn run(mut backend: Box<dyn Backend>, axis: BatchAxis, shared: &Shared) {
    let mut done = 0;
    while let Some(batch) = shared.next_batch(done) {
        done = batch.len();
        shared.count_batch(done);
        answer_all(backend.as_mut(), axis, batch);
    }
}

fn answer_all(backend: &mut dyn Backend, axis: BatchAxis, mut jobs: Vec<Job>) {
    if let [_, _, ..] = jobs.as_slice() {
        let run = Run::begin(&jobs);
        let batch: Vec<_> = jobs.iter().map(|job| job.input.view().insert_axis(Axis(0))).collect();
        let together = concatenate(Axis(0), &batch).map_err(|error| failed(error.to_string()));
        let outcome = together.and_then(|input| infer(backend, axis, input));
        let run = run.end(outcome.as_ref().map(drop));
        match outcome {
            Ok(outputs) => return jobs.into_iter().zip(outputs).for_each(|(job, outputs)| job.tell(Ok(outputs), &run)),
            Err(error) => {
                tracing::warn!(pictures = jobs.len(), %error, "a batch failed; its pictures are run one by one");
            }
        }
    }
    jobs.retain(Job::is_wanted);
    for mut job in jobs {
        let run = Run::begin(std::slice::from_ref(&job));
        let input = std::mem::take(&mut job.input).insert_axis(Axis(0));
        let outputs = infer(backend, axis, input)
            .and_then(|mut pictures| pictures.pop().ok_or_else(|| failed("the model gave no outputs".into())));
        let run = run.end(outputs.as_ref().map(drop));
        job.tell(outputs, &run);
    }
}

/// A run of the network that goes on.
struct Run {
    span: Span,
    started: Instant,
}

/// A run of the network that is over.
struct Over {
    trace: Trace,
    started: Instant,
    ended: Instant,
}

impl Run {
    fn begin(jobs: &[Job]) -> Self {
        let mut span = Span::together("batch", jobs.iter().map(|job| &job.trace));
        span.set("cenet.batch.size", jobs.len() as i64);
        Self { span, started: Instant::now() }
    }

    fn end(mut self, outcome: std::result::Result<(), &InferError>) -> Over {
        let ended = Instant::now();
        self.span.tell(outcome);
        Over { trace: self.span.end(ended), started: self.started, ended }
    }
}

impl Job {
    fn tell(self, outputs: Result<Vec<ArrayD<f32>>>, run: &Over) {
        let Over { trace, started, ended } = run;
        let (queue, inference) = (started.saturating_duration_since(self.enqueued), *ended - *started);
        self.trace.stage(Stage::Queue, [self.enqueued, *started], Ok(()));
        self.trace.inference([*started, *ended], outputs.as_ref().map(drop), trace);
        let answer = outputs.map(|outputs| Answer { outputs, queue, inference });
        // whoever asked may have left meanwhile
        let _ = self.reply.send(answer);
    }
}

/// The outputs of each picture of the batch `input`.
fn infer(backend: &mut dyn Backend, axis: BatchAxis, input: ArrayD<f32>) -> Result<Vec<Vec<ArrayD<f32>>>> {
    let pictures = input.len_of(Axis(0));
    let outputs = catch_unwind(AssertUnwindSafe(|| backend.infer(input)))
        .unwrap_or_else(|_| Err(failed("the model panicked on this picture".into())))?;
    match axis {
        BatchAxis::None => Ok(vec![outputs]),
        BatchAxis::First => split(outputs, pictures),
    }
}

/// Takes the batch axis off.
fn split(outputs: Vec<ArrayD<f32>>, pictures: usize) -> Result<Vec<Vec<ArrayD<f32>>>> {
    if let Some(odd) = outputs.iter().find(|output| output.ndim() == 0 || output.len_of(Axis(0)) != pictures) {
        let message = format!("an output of shape {:?} has no batch axis of size {pictures}", odd.shape());
        return Err(failed(message));
    }
    if pictures == 1 {
        return Ok(vec![outputs.into_iter().map(|output| output.index_axis_move(Axis(0), 0)).collect()]);
    }
    let of_picture = |picture| outputs.iter().map(|output| output.index_axis(Axis(0), picture).to_owned()).collect();
    Ok((0..pictures).map(of_picture).collect())
}

fn failed(message: String) -> InferError {
    InferError::new(ErrorKind::InferenceFailed, message)
}
