//! A bounded pool for the work that keeps a core busy. Work whose caller left is skipped; a panic becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::error::{ErrorKind, InferError, Result};

/// Threads that decode and preprocess.
#[derive(Debug)]
pub struct CpuPool {
    pool: ThreadPool,
}

impl CpuPool {
    /// A pool of `threads`; 0 means one a core.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(threads: usize) -> std::result::Result<Self, ThreadPoolBuildError> {
        let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("cpu {index}"));
        Ok(Self { pool: builder.build()? })
    }

    /// Has the pool run `work`, from now on, whether its outcome is waited for yet or not. Dropping the future before `work` begins
    /// cancels it; `work` that has several steps asks between them whether it is still wanted.
    ///
    /// # Errors
    /// What `work` answers; `Internal` when it panics.
    pub fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T>> + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&dyn Wanted) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.pool.spawn_fifo(move || {
            if reply.check().is_err() {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&reply))).unwrap_or_else(|_| Err(panicked()));
            // whoever asked may have left meanwhile
            let _ = reply.send(outcome);
        });
        async { answer.await.unwrap_or_else(|_| Err(panicked())) }
    }
}

/// Who waits for the outcome of some work.
pub trait Wanted {
    /// # Errors
    /// When nobody does any more: an error that nobody will see.
    fn check(&self) -> Result<()>;
}

impl<T> Wanted for oneshot::Sender<Result<T>> {
    fn check(&self) -> Result<()> {
        if self.is_closed() { Err(InferError::new(ErrorKind::Unavailable, "nobody waits for it")) } else { Ok(()) }
    }
}

fn panicked() -> InferError {
    InferError::new(ErrorKind::Internal, "the server failed on this input; please report it")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_pool_goes_on() {
        let pool = CpuPool::new(1).expect("a thread");
        let failed = pool.run::<(), _>(|_| panic!("a decoder's defect")).await;
        assert_eq!(failed.expect_err("it panicked").kind, ErrorKind::Internal);
        assert_eq!(pool.run(|_| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn abandoned_work_never_begins() {
        let pool = CpuPool::new(1).expect("a thread");
        let (release, released) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let mut blocker = pin!(pool.run(move |_| {
            released.recv().expect("the test lets go");
            Ok(())
        }));
        assert!(poll!(&mut blocker).is_pending(), "the pool's only thread is busy");
        {
            let mut abandoned = pin!(pool.run(move |_| {
                seen.store(true, Ordering::SeqCst);
                Ok(())
            }));
            assert!(poll!(&mut abandoned).is_pending(), "it waits behind the blocker");
        }
        release.send(()).expect("the blocker listens");
        blocker.await.expect("the blocker ends well");
        pool.run(|_| Ok(())).await.expect("whatever was queued before has been passed");
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn work_that_is_abandoned_stops_at_its_next_step() {
        let pool = CpuPool::new(1).expect("a thread");
        let (begun, begins) = mpsc::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        let (stopped, stops) = mpsc::channel();
        {
            let mut abandoned = pin!(pool.run(move |wanted| {
                begun.send(()).expect("the test listens");
                released.recv().expect("the test lets go");
                stopped.send(wanted.check().is_err()).expect("the test listens");
                Ok(())
            }));
            assert!(poll!(&mut abandoned).is_pending());
            begins.recv().expect("it begins");
        }
        release.send(()).expect("the work listens");
        assert_eq!(stops.recv(), Ok(true));
    }
}
