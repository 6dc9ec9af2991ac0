//! The end of the server: a signal makes it unready, what is in flight is answered, then it stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{self, SignalKind};

/// Whether traffic is wanted. Clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Ready from the start: it is made when the models are loaded.
    pub fn ready() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Whether traffic is wanted.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// No more traffic is wanted.
    pub fn withdraw(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A future that ends when the process is asked to stop: by SIGINT (Ctrl-C) or SIGTERM. The handlers are in place when
/// this returns.
///
/// # Errors
/// When the operating system gives no signal handler.
pub fn signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
