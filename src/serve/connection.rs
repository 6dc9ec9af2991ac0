//! One client's connection: what it may take its time with, and how it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::head_timer::time_heads;
use super::tls::Tls;
use crate::shutdown::Shutdown;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Over a request's head, from its first byte.
    pub(super) head: Duration,
    /// Without sending anything, or without reading anything that waits for it.
    pub(super) silence: Duration,
}

/// Bytes of a request's head over HTTP/1: line, names and values. Of a longer one it is told 431.
const HEAD_BYTES: usize = 64 << 10;

/// The same over HTTP/2, as it counts them: 32 more for each field.
const FIELD_LIST_BYTES: u32 = 64 << 10;

/// Fields of a request's head over HTTP/1. Of more it is told 431.
const FIELDS: usize = 100;

/// Requests that one HTTP/2 connection may have open; further ones are refused by HTTP/2's own word for that, and come again.
const STREAMS: u32 = 256;

/// How long a client that is connected when the server stops gets to begin its request.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Serves `stream` until its client has had enough, or `shutdown` drains: then what is begun is ended, and nothing new is taken.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    app: Router,
    patience: Patience,
    shutdown: Shutdown,
) {
    if !begins(&stream, patience, &shutdown).await {
        return;
    }
    // what an answer gains from waiting for more to send with it is nothing
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(patience.silence));
    stream.set_write_timeout(Some(patience.silence));
    let stream = Box::pin(stream);
    let Some(tls) = tls else { return converse(stream, app, patience, shutdown).await };
    let handshake = tokio::select! {
        biased;
        done = tls.accept(stream) => done,
        () = last_call(&shutdown) => return,
        () = tokio::time::sleep(patience.head) => return,
    };
    match handshake {
        Ok(stream) => converse(stream, app, patience, shutdown).await,
        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
    }
}

async fn converse<S>(stream: S, app: Router, patience: Patience, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, timer) = time_heads(stream, patience.head);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(timer).header_read_timeout(patience.head).max_buf_size(HEAD_BYTES).max_headers(FIELDS);
    // who keeps a connection or a stream open without a word answers pings, and isn't silent
    let ping = patience.silence / 3;
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(ping).keep_alive_timeout(ping);
    http2.max_concurrent_streams(STREAMS).max_header_list_size(FIELD_LIST_BYTES);
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
    tokio::select! {
        biased;
        readable = stream.readable() => readable.is_ok(),
        () = last_call(shutdown) => false,
        () = tokio::time::sleep(patience.silence) => false,
    }
}

/// Ends when whoever hasn't begun by then will not be waited for.
async fn last_call(shutdown: &Shutdown) {
    shutdown.draining().await;
    tokio::time::sleep(LAST_CALL).await;
}
