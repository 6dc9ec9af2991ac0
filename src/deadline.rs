//! How long a request may take. Both faces bound what they do by it, and so does the core: whichever stage it is in, a request
//! is answered the moment its time is up.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::{ErrorKind, InferError, Rejection, Result};
use crate::shutdown::Shutdown;

/// The end of a request's time: its own, or that of the server, when that comes first. Clones end together.
#[derive(Debug, Clone)]
pub struct Deadline {
    end: Option<(Instant, Duration)>,
    shutdown: Shutdown,
}

impl Deadline {
    /// Ends when `timeout` has passed from now on, or when `shutdown` cuts off what is in flight.
    pub fn after(timeout: Duration, shutdown: Shutdown) -> Self {
        Self { end: Instant::now().checked_add(timeout).map(|end| (end, timeout)), shutdown }
    }

    /// Never ends.
    pub fn never() -> Self {
        Self { end: None, shutdown: Shutdown::new() }
    }

    /// The one of two deadlines of the same server that ends first.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        let end = |deadline: &Self| deadline.end.map(|(end, _)| end);
        match (end(&self), end(&other)) {
            (Some(own), Some(others)) if others < own => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }

    /// What `work` answers, if it does in time. It is dropped when it doesn't, which takes it out of every queue.
    ///
    /// # Errors
    /// `DeadlineExceeded`, or `Unavailable` when the server stops first; else as `work`.
    pub async fn bound<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            timeout = self.passed() => {
                let message = format!("the request took longer than its {} ms", timeout.as_millis());
                Err(InferError::new(ErrorKind::DeadlineExceeded, message).because(Rejection::Deadline))
            }
            () = self.shutdown.cut_off() => {
                let message = "the server stopped before the answer was ready; send it again";
                Err(InferError::new(ErrorKind::Unavailable, message).because(Rejection::Draining))
            }
        }
    }

    async fn passed(&self) -> Duration {
        match self.end {
            Some((end, timeout)) => {
                sleep_until(end).await;
                timeout
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_in_time_is_answered() {
        let deadline = Deadline::after(Duration::from_millis(20), Shutdown::new());
        let work = async {
            tokio::time::sleep(Duration::from_millis(19)).await;
            Ok(7)
        };
        assert_eq!(deadline.bound(work).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn one_deadline_bounds_all_steps_together() {
        let deadline = Deadline::after(Duration::from_millis(20), Shutdown::new());
        let step = || async {
            tokio::time::sleep(Duration::from_millis(11)).await;
            Ok(())
        };
        deadline.bound(step()).await.expect("in time");
        let begun = Instant::now();
        let late = deadline.bound(step()).await.expect_err("22 ms are more than 20");
        assert_eq!(late.kind, ErrorKind::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_millis(), 9, "told the moment that it passed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_cuts_off_what_is_left() {
        let shutdown = Shutdown::new();
        let deadline = Deadline::after(Duration::from_secs(20), shutdown.clone());
        shutdown.cut();
        let cut = deadline.bound(std::future::pending::<Result<()>>()).await.expect_err("cut off");
        assert_eq!(cut.kind, ErrorKind::Unavailable);
        assert_eq!(deadline.bound(async { Ok(7) }).await, Ok(7), "what is ready is answered still");
    }
}
