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

    /// Runs `work` on the pool. Dropping the future before `work` begins cancels it.
    ///
    /// # Errors
    /// What `work` answers; `Internal` when it panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.pool.spawn_fifo(move || {
            if reply.is_closed() {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()));
            // whoever asked may have left meanwhile
            let _ = reply.send(outcome);
        });
        answer.await.unwrap_or_else(|_| Err(panicked()))
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
        let failed = pool.run::<()>(|| panic!("a decoder's defect")).await;
        assert_eq!(failed.expect_err("it panicked").kind, ErrorKind::Internal);
        assert_eq!(pool.run(|| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn abandoned_work_never_begins() {
        let pool = CpuPool::new(1).expect("a thread");
        let (release, released) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let mut blocker = pin!(pool.run(move || {
            released.recv().expect("the test lets go");
            Ok(())
        }));
        assert!(poll!(&mut blocker).is_pending(), "the pool's only thread is busy");
        {
            let mut abandoned = pin!(pool.run(move || {
                seen.store(true, Ordering::SeqCst);
                Ok(())
            }));
            assert!(poll!(&mut abandoned).is_pending(), "it waits behind the blocker");
        }
        release.send(()).expect("the blocker listens");
        blocker.await.expect("the blocker ends well");
        pool.run(|| Ok(())).await.expect("whatever was queued before has been passed");
        assert!(!begun.load(Ordering::SeqCst));
    }
}
