//! One client's connection: what it may take its time with, and how it ends.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::head_timer::time_heads;
use crate::shutdown::Shutdown;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Over a request's head, from its first byte.
    pub(super) head: Duration,
    /// Without sending anything, or without reading anything that waits for it.
    pub(super) silence: Duration,
}

/// How long a client that is connected when the server stops gets to begin its request.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Serves `stream` until its client has had enough, or `shutdown` drains: then what is begun is ended, and nothing new is taken.
pub(super) async fn serve(stream: TcpStream, app: Router, patience: Patience, shutdown: Shutdown) {
    if !begins(&stream, patience, &shutdown).await {
        return;
    }
    // what an answer gains from waiting for more to send with it is nothing
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(patience.silence));
    stream.set_write_timeout(Some(patience.silence));
    let (stream, timer) = time_heads(Box::pin(stream), patience.head);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(timer).header_read_timeout(patience.head);
    // who keeps a connection or a stream open without a word answers pings, and isn't silent
    let ping = patience.silence / 3;
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(ping).keep_alive_timeout(ping);
    let answer = move |request: Request<Incoming>| app.clone().oneshot(request.map(Body::new));
    let io = TokioIo::new(stream);
    let mut connection = pin!(builder.serve_connection(io, hyper::service::service_fn(answer)));
    let ended = tokio::select! {
        // what has come is read before the end is looked at
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Whether the client sends anything at all.
async fn begins(stream: &TcpStream, patience: Patience, shutdown: &Shutdown) -> bool {
    let last_call = async {
        shutdown.draining().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        biased;
        readable = stream.readable() => readable.is_ok(),
        () = last_call => false,
        () = tokio::time::sleep(patience.silence) => false,
    }
}
