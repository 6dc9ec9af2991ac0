//! What a model has done since it was loaded: how many pictures, and where their time went.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::InferError;
use crate::request::Timings;

/// So many, with the time of all of them together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Their time.
    pub time: Duration,
}

impl Count {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

/// The statistics at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatisticsSnapshot {
    /// Requests in tensors, and pictures otherwise, that were answered, from admission to answer.
    pub success: Count,
    /// Pictures that the network looked at for them.
    pub inferences: u64,
    /// Those that weren't.
    pub fail: Count,
    /// Waiting for the network.
    pub queue: Count,
    /// Decoding and preprocessing.
    pub compute_input: Count,
    /// The network.
    pub compute_infer: Count,
    /// From outputs to answers.
    pub compute_output: Count,
    /// When the last was answered.
    pub last_inference: Option<SystemTime>,
}

/// Counts of one model.
#[derive(Debug, Default)]
pub struct Statistics(Mutex<StatisticsSnapshot>);

impl Statistics {
    /// Counts what became of a request with `pictures`.
    pub fn record(&self, pictures: usize, outcome: Result<&Timings, &InferError>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Err(_) => counts.fail.add(Duration::ZERO),
            Ok(timings) => {
                counts.success.add(timings.total);
                counts.inferences += pictures as u64;
                counts.queue.add(timings.queue);
                counts.compute_input.add(timings.decode + timings.preprocess);
                counts.compute_infer.add(timings.inference);
                counts.compute_output.add(timings.postprocess);
                counts.last_inference = Some(SystemTime::now());
            }
        }
    }

    /// The counts as they are now.
    pub fn snapshot(&self) -> StatisticsSnapshot {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
