//! Whether a model still answers, and answers right: its requests' failures in a row, and what became of its last canary.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::{ErrorKind, InferError, Rejection, Result};

/// Failures of the network in a row that make a model suspect. They may be their pictures' fault: a canary decides.
const SUSPICIOUS_FAILURES: u32 = 5;

/// A model's state of health.
#[derive(Debug, Default)]
pub struct Health {
    failures_in_a_row: AtomicU32,
    /// Why the model isn't ready; none when it is.
    failing: Mutex<Option<String>>,
    suspected: Notify,
    /// The model was loaded to take the place of one that failed, and hasn't passed a canary yet.
    on_trial: AtomicBool,
}

impl Health {
    /// Counts what became of a picture.
    pub fn record<T: Copy>(&self, outcome: std::result::Result<T, &InferError>) {
        match outcome {
            Err(error) if error.kind == ErrorKind::InferenceFailed => {
                if self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= SUSPICIOUS_FAILURES {
                    self.suspected.notify_one();
                }
            }
            Err(_) => {}
            Ok(_) => self.failures_in_a_row.store(0, Ordering::Relaxed),
        }
    }

    /// Ends when the model has become suspect; the count begins anew.
    pub async fn suspected(&self) {
        self.suspected.notified().await;
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Takes the model out of service, with the reason, or back into it; whether that is a change.
    pub fn set_failing(&self, reason: Option<String>) -> bool {
        let mut failing = self.failing();
        let changed = failing.is_some() != reason.is_some();
        if reason.is_none() {
            self.on_trial.store(false, Ordering::Relaxed);
        }
        *failing = reason;
        changed
    }

    /// The model takes the place of one that failed.
    pub fn put_on_trial(&self) {
        self.on_trial.store(true, Ordering::Relaxed);
    }

    /// Whether the model took the place of one that failed, and hasn't been in order since.
    pub fn is_on_trial(&self) -> bool {
        self.on_trial.load(Ordering::Relaxed)
    }

    /// # Errors
    /// `Unavailable` with the reason while the model is out of service.
    pub fn check(&self) -> Result<()> {
        match self.failing().as_ref() {
            None => Ok(()),
            Some(reason) => {
                let message = format!("the model isn't ready: {reason}");
                Err(InferError::new(ErrorKind::Unavailable, message).because(Rejection::NotReady))
            }
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    fn failed() -> Result<()> {
        Err(InferError::new(ErrorKind::InferenceFailed, "the network failed"))
    }

    #[tokio::test]
    async fn failures_in_a_row_make_a_model_suspect() {
        let health = Health::default();
        let mut suspected = pin!(health.suspected());
        let bad_picture = Err::<(), _>(InferError::new(ErrorKind::InvalidImage, "cut off"));
        for outcome in
            [failed(), failed(), failed(), failed(), Ok(()), failed(), failed(), bad_picture, failed(), failed()]
        {
            health.record(outcome.as_ref());
            assert!(poll!(&mut suspected).is_pending(), "a success ends the row");
        }
        health.record(failed().as_ref());
        suspected.await;
    }

    #[test]
    fn a_failing_model_says_why_until_it_recovers() {
        let health = Health::default();
        health.check().expect("ready at first");
        assert!(health.set_failing(Some("it answers nonsense".into())));
        assert!(!health.set_failing(Some("it answers nothing".into())), "failing already");
        let error = health.check().expect_err("out of service");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("it answers nothing"), "{error}");
        assert!(health.set_failing(None));
        health.check().expect("back in service");
    }
}
