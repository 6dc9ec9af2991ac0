//! Bounds how long a request's head takes, from its first byte on. hyper counts from the moment it waits for a head: by its clock a connection
//! that is kept open between two requests is a slow client.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// When the head that is awaited began; shared by a connection's stream, which sees it, and its timer, which asks.
#[derive(Debug, Clone, Default)]
struct Beginning(Arc<Mutex<Option<Instant>>>);

impl Beginning {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream and the timer of one connection whose clients may take `head` over a request's head.
pub(super) fn time_heads<S>(stream: S, head: Duration) -> (Heads<S>, HeadTimer) {
    let beginning = Beginning::default();
    let timer = HeadTimer { beginning: beginning.clone(), head, waited: AtomicBool::new(false) };
    (Heads { stream, beginning }, timer)
}

/// A stream that notices when something comes.
#[derive(Debug)]
pub(super) struct Heads<S> {
    stream: S,
    beginning: Beginning,
}

/// The timer that hyper asks for each head.
#[derive(Debug)]
pub(super) struct HeadTimer {
    beginning: Beginning,
    head: Duration,
    /// Whether a head has been waited for.
    waited: AtomicBool,
}

/// Ends when a head has taken too long; not before it has begun.
struct HeadSleep {
    beginning: Beginning,
    head: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        // the first head may have begun: its first bytes tell HTTP/1 from HTTP/2
        if self.waited.swap(true, Ordering::Relaxed) {
            *self.beginning.lock() = None;
        }
        Box::pin(HeadSleep { beginning: self.beginning.clone(), head: self.head, sleep: None })
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.head)
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    /// Polled whenever something has come and the head isn't whole yet.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(beginning) = *self.beginning.lock() else { return Poll::Pending };
        let end = beginning + self.head;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        sleep.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        ready!(pin!(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > filled {
            self.beginning.lock().get_or_insert_with(Instant::now);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pin!(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    /// A client of a server that answers "ok"; and what became of the connection.
    fn connect() -> (DuplexStream, JoinHandle<hyper::Result<()>>) {
        let (client, server) = duplex(1024);
        let (stream, timer) = time_heads(server, HEAD);
        let answer = service_fn(async |_| Ok::<_, Infallible>(hyper::Response::new(Body::from("ok"))));
        let mut builder = http1::Builder::new();
        builder.timer(timer).header_read_timeout(HEAD);
        (client, tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer)))
    }

    async fn ask(client: &mut DuplexStream) {
        client.write_all(REQUEST).await.expect("the server reads");
        let mut reply = Vec::new();
        while !reply.ends_with(b"ok") {
            assert_ne!(client.read_buf(&mut reply).await.expect("the server answers"), 0, "answered");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_kept_open_between_requests() {
        let (mut client, _served) = connect();
        for _ in 0..3 {
            ask(&mut client).await;
            tokio::time::sleep(6 * HEAD).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_has_its_time() {
        for earlier_requests in [0, 2] {
            let (mut client, served) = connect();
            for _ in 0..earlier_requests {
                ask(&mut client).await;
                tokio::time::sleep(6 * HEAD).await;
            }
            let begun = Instant::now();
            for byte in &REQUEST[..20] {
                let _ = client.write_all(&[*byte]).await;
                tokio::time::sleep(HEAD / 15).await;
            }
            let error = served.await.expect("no panic").expect_err("cut off");
            assert!(error.is_timeout(), "{error}");
            assert!(begun.elapsed() < 2 * HEAD, "whatever came meanwhile");
        }
    }
}
