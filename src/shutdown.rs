//! The end of the server: a signal makes it unready, what is in flight is answered, then it stops.

use std::io;
use std::task::Poll;

use futures_util::Stream;
use futures_util::stream::poll_fn;
use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;

/// How far the server is on its way to its end. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    draining: CancellationToken,
    cut: CancellationToken,
}

impl Shutdown {
    /// Not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// No more traffic is wanted from now on; what comes all the same is answered.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether the end has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Ends when the end begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Nothing new is taken from now on; what is in flight is answered.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends when nothing new is taken any more.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// What is in flight has had its time: it is told so, instead of an answer.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Ends when what is in flight has had its time.
    pub async fn cut_off(&self) {
        self.cut.cancelled().await;
    }
}

/// Gives an item each time that the process is asked to stop: by SIGINT (Ctrl-C) or SIGTERM. The handlers are in place when this
/// returns.
///
/// # Errors
/// When the operating system gives no signal handler.
pub fn signals() -> io::Result<impl Stream<Item = ()>> {
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    Ok(poll_fn(move |context| match terminate.poll_recv(context) {
        Poll::Pending => interrupt.poll_recv(context),
        ready => ready,
    }))
}
