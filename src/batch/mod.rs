//! The way to a network: callers queue, and each instance of the network has a thread that takes what is due, several pictures at
//! once where that is allowed.
//!
//! How many pictures wait is bounded by who lets them in (`admission`), not here.

mod queue;
mod shared;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use prometheus::Histogram;
use tokio::sync::oneshot;

pub use queue::BatchPolicy;
use queue::Entry;
use shared::Shared;

use crate::admission::Priority;
use crate::backend::Backend;
use crate::error::{ErrorKind, InferError, Result};
use crate::telemetry::Trace;

/// Handle to a network's instances. When it is dropped, they finish what is queued and end.
#[derive(Debug)]
pub struct Batcher {
    shared: Arc<Shared>,
}

/// How a network's outputs tell pictures apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchAxis {
    /// By their first axis.
    First,
    /// Not at all: they are of one picture.
    None,
}

/// What a network says of one picture.
#[derive(Debug)]
pub struct Answer {
    /// One array for each output of the network, without the batch axis.
    pub outputs: Vec<ArrayD<f32>>,
    /// How long the picture waited for the network.
    pub queue: Duration,
    /// How long the network ran on the batch that the picture was in.
    pub inference: Duration,
}

/// One picture on its way.
#[derive(Debug)]
struct Job {
    /// The picture's tensor, without a batch axis.
    input: ArrayD<f32>,
    enqueued: Instant,
    /// What is told of the picture belongs here.
    trace: Trace,
    reply: oneshot::Sender<Result<Answer>>,
}

/// A place for one picture that is being prepared.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    priority: Priority,
    reply: oneshot::Sender<Result<Answer>>,
}

impl Ticket {
    /// Puts the picture's tensor, without a batch axis, into the queue; what becomes of it is told in `trace`.
    pub fn enqueue(self, input: ArrayD<f32>, trace: Trace) {
        self.shared.push(Job { input, enqueued: Instant::now(), trace, reply: self.reply }, self.priority);
    }
}

impl Entry for Job {
    fn shape(&self) -> &[usize] {
        self.input.shape()
    }

    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }
}

impl Batcher {
    /// Starts a thread for each of `instances`, named after `name`. Without a batch axis every picture goes alone, whatever `policy`
    /// says.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        name: &str,
        instances: Vec<Box<dyn Backend>>,
        axis: BatchAxis,
        policy: BatchPolicy,
    ) -> std::io::Result<Self> {
        let policy = if axis == BatchAxis::None { BatchPolicy::SINGLE } else { policy };
        // dropped on failure, which ends the threads that were started
        let batcher = Self { shared: Arc::new(Shared::new(policy, instances.len())) };
        for backend in instances {
            let shared = Arc::clone(&batcher.shared);
            let thread = std::thread::Builder::new().name(format!("model {name}"));
            thread.spawn(move || worker::run(backend, axis, &shared))?;
        }
        Ok(batcher)
    }

    /// A place for one picture whose tensor is still to come, and the answer that it will get. Dropping the answer takes the picture out
    /// of the queue; dropping the ticket ends the wait for the answer with an error.
    ///
    /// # Errors
    /// Of the answer: `InferenceFailed` when the network fails on this picture, `Unavailable` when its threads are gone.
    pub fn ticket(&self, priority: Priority) -> (Ticket, impl Future<Output = Result<Answer>> + use<>) {
        let (reply, answer) = oneshot::channel();
        let answer = async {
            answer.await.unwrap_or_else(|_| {
                let message = "the model has stopped; try again in a moment";
                Err(InferError::new(ErrorKind::Unavailable, message))
            })
        };
        (Ticket { shared: Arc::clone(&self.shared), priority, reply }, answer)
    }

    /// Has the network look at one picture's tensor, without a batch axis, for no request. Dropping the future takes the picture out of
    /// the queue.
    ///
    /// # Errors
    /// As [`Batcher::ticket`]'s answer.
    pub async fn infer(&self, input: ArrayD<f32>, priority: Priority) -> Result<Answer> {
        let (ticket, answer) = self.ticket(priority);
        ticket.enqueue(input, Trace::none());
        answer.await
    }

    /// How often the network was run.
    pub fn executions(&self) -> u64 {
        self.batches().get_sample_count()
    }

    /// Pictures in each run of the network.
    pub fn batches(&self) -> &Histogram {
        self.shared.batches()
    }

    /// Pictures that wait for the network.
    pub fn waiting(&self) -> usize {
        self.shared.len()
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
