//! The queue between the callers and the threads that own a network's instances.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus::Histogram;

use super::Job;
use super::queue::{BatchPolicy, Queue, Sessions};
use crate::admission::Priority;
use crate::metrics::batch_sizes;

/// A queue with somebody to wake when it changes.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Pictures in each run of the network.
    batches: Histogram,
}

#[derive(Debug)]
struct State {
    queue: Queue<Job>,
    sessions: Sessions,
    /// Nobody will put anything in any more.
    closed: bool,
}

impl Shared {
    /// Nothing waits yet for `sessions`, at least one.
    pub(super) fn new(policy: BatchPolicy, sessions: usize) -> Self {
        let sessions = Sessions { count: sessions, running: 0 };
        Self {
            state: Mutex::new(State { queue: Queue::new(policy), sessions, closed: false }),
            changed: Condvar::new(),
            batches: batch_sizes(),
        }
    }

    pub(super) fn push(&self, job: Job, priority: Priority) {
        self.lock().queue.push(job, priority, Instant::now());
        self.changed.notify_one();
    }

    /// Lets the threads end when they have run what waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The network is run once more, on so many pictures.
    pub(super) fn count_batch(&self, pictures: usize) {
        self.batches.observe(pictures as f64);
    }

    /// Pictures in each run of the network.
    pub(super) fn batches(&self) -> &Histogram {
        &self.batches
    }

    /// Pictures that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Waits for a batch that is due, for a session that has run `done` pictures since it asked before; none when the queue is closed
    /// and empty.
    pub(super) fn next_batch(&self, done: usize) -> Option<Vec<Job>> {
        let mut state = self.lock();
        state.sessions.running -= done;
        loop {
            let (now, sessions) = (Instant::now(), state.sessions);
            if let Some(batch) = state.queue.take(now, sessions) {
                state.sessions.running += batch.len();
                if state.queue.len() > 0 {
                    // one call may stand for several jobs, of which this batch took only some
                    self.changed.notify_one();
                }
                return Some(batch);
            }
            state = match state.queue.next_deadline() {
                Some(deadline) => {
                    let patience = deadline.saturating_duration_since(now);
                    self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
                }
                None if state.closed => return None,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Nothing panics while it holds the lock, and the state is whole at every step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
