//! A bounded way to a network: callers queue, one thread runs. Today every batch holds one picture.

mod worker;

use std::time::{Duration, Instant};

use ndarray::ArrayD;
use tokio::sync::{mpsc, oneshot};

use crate::backend::Backend;
use crate::error::{ErrorKind, InferError, Result};

/// Handle to the thread that owns a network. When the last handle is dropped, the thread finishes what is queued and ends.
#[derive(Debug, Clone)]
pub struct Batcher {
    jobs: mpsc::Sender<Job>,
}

/// How a network's outputs tell pictures apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// By their first axis.
    BatchAxis,
    /// Not at all: they are of one picture.
    OnePicture,
}

/// What a network says of one picture.
#[derive(Debug)]
pub struct Answer {
    /// One array for each output of the network, without the batch axis.
    pub outputs: Vec<ArrayD<f32>>,
    /// How long the picture waited for the network.
    pub queue: Duration,
    /// How long the network ran.
    pub inference: Duration,
}

/// One picture on its way.
#[derive(Debug)]
struct Job {
    /// The picture's tensor, without a batch axis.
    input: ArrayD<f32>,
    enqueued: Instant,
    reply: oneshot::Sender<Result<Answer>>,
}

impl Batcher {
    /// Starts a thread named after `name` that runs `backend`; at most `queue_length` pictures wait for it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        name: &str,
        backend: Box<dyn Backend>,
        batching: Batching,
        queue_length: usize,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(queue_length);
        std::thread::Builder::new()
            .name(format!("model {name}"))
            .spawn(move || worker::run(backend, batching, queue))?;
        Ok(Self { jobs })
    }

    /// Has the network look at one picture's tensor, without a batch axis. Dropping the future takes the picture out of
    /// the queue.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `InferenceFailed` when the network fails on this picture, `Unavailable` when
    /// its thread is gone.
    pub async fn infer(&self, input: ArrayD<f32>) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        let job = Job { input, enqueued: Instant::now(), reply };
        self.jobs.try_send(job).map_err(|refusal| match refusal {
            mpsc::error::TrySendError::Full(_) => {
                InferError::new(ErrorKind::Overloaded, "the model's queue is full; try again in a moment")
            }
            mpsc::error::TrySendError::Closed(_) => thread_is_gone(),
        })?;
        answer.await.unwrap_or_else(|_| Err(thread_is_gone()))
    }
}

fn thread_is_gone() -> InferError {
    InferError::new(ErrorKind::Unavailable, "the model has stopped; try again in a moment")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc as blocking;

    use futures_util::poll;

    use super::*;

    /// Tells which input it was given, then waits to be let go.
    struct Gate {
        begun: mpsc::UnboundedSender<f32>,
        let_go: blocking::Receiver<()>,
    }

    impl Backend for Gate {
        fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
            self.begun.send(input[[0, 0]]).expect("the test listens");
            self.let_go.recv().expect("the test lets go");
            Ok(vec![input])
        }
    }

    fn gated(queue_length: usize) -> (Batcher, mpsc::UnboundedReceiver<f32>, blocking::Sender<()>) {
        let (begun, wait_until_begun) = mpsc::unbounded_channel();
        let (let_go, gate) = blocking::channel();
        let backend = Box::new(Gate { begun, let_go: gate });
        (
            Batcher::start("gated", backend, Batching::BatchAxis, queue_length).expect("a thread"),
            wait_until_begun,
            let_go,
        )
    }

    fn input(value: f32) -> ArrayD<f32> {
        ArrayD::from_elem(vec![1], value)
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_at_once() {
        let (batcher, mut begun, let_go) = gated(1);
        let mut first = pin!(batcher.infer(input(1.0)));
        assert!(poll!(&mut first).is_pending());
        assert_eq!(begun.recv().await, Some(1.0));
        let mut second = pin!(batcher.infer(input(2.0)));
        assert!(poll!(&mut second).is_pending());
        let third = batcher.infer(input(3.0)).await;
        assert_eq!(third.expect_err("the queue holds one").kind, ErrorKind::Overloaded);
        let_go.send(()).expect("the first waits");
        let_go.send(()).expect("the second waits");
        assert_eq!(first.await.expect("answered").outputs, [input(1.0)]);
        assert_eq!(second.await.expect("answered").outputs, [input(2.0)]);
    }

    #[tokio::test]
    async fn who_left_is_skipped() {
        let (batcher, mut begun, let_go) = gated(2);
        let mut first = pin!(batcher.infer(input(1.0)));
        assert!(poll!(&mut first).is_pending());
        assert_eq!(begun.recv().await, Some(1.0));
        {
            let mut leaving = pin!(batcher.infer(input(2.0)));
            assert!(poll!(&mut leaving).is_pending());
        }
        let mut third = pin!(batcher.infer(input(3.0)));
        assert!(poll!(&mut third).is_pending());
        let_go.send(()).expect("the first waits");
        let_go.send(()).expect("the third waits");
        third.await.expect("answered");
        assert_eq!(begun.recv().await, Some(3.0), "the second never reached the network");
    }
}
