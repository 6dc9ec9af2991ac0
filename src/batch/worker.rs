//! The thread that owns a network: takes what waits, skips who left, answers each. A panic fails the picture, not the thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use ndarray::{ArrayD, Axis};
use tokio::sync::mpsc;

use super::{Answer, Batching, Job};
use crate::backend::Backend;
use crate::error::{ErrorKind, InferError, Result};

/// Runs until every handle is gone and the queue is empty.
pub(super) fn run(mut backend: Box<dyn Backend>, batching: Batching, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        if job.reply.is_closed() {
            continue;
        }
        let started = Instant::now();
        let outputs = infer_one(backend.as_mut(), batching, job.input);
        let inference = started.elapsed();
        let answer = outputs.map(|outputs| Answer { outputs, queue: started - job.enqueued, inference });
        // whoever asked may have left meanwhile
        let _ = job.reply.send(answer);
    }
}

/// Adds the batch axis on the way in and, where there is one, takes it off on the way out.
fn infer_one(backend: &mut dyn Backend, batching: Batching, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
    let batch = input.insert_axis(Axis(0));
    let outputs = catch_unwind(AssertUnwindSafe(|| backend.infer(batch)))
        .unwrap_or_else(|_| Err(InferError::new(ErrorKind::InferenceFailed, "the model panicked on this picture")))?;
    match batching {
        Batching::BatchAxis => outputs.into_iter().map(first_of_batch).collect(),
        Batching::OnePicture => Ok(outputs),
    }
}

fn first_of_batch(output: ArrayD<f32>) -> Result<ArrayD<f32>> {
    if output.ndim() == 0 || output.len_of(Axis(0)) != 1 {
        let message = format!("an output of shape {:?} has no batch axis of size 1", output.shape());
        return Err(InferError::new(ErrorKind::InferenceFailed, message));
    }
    Ok(output.index_axis_move(Axis(0), 0))
}
