//! Listens, serves, and stops in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Patience};
use super::http::app;
use super::state::AppState;
use crate::config::{ModelControl, ServeConfig};
use crate::infer::Engine;
use crate::model::watch;
use crate::monitor::monitor;

/// How long answers that tell of the end get to reach their clients.
const FAREWELL: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `engine` on `listener` until `signals` gives one. From then on the server isn't ready; after the shutdown delay it takes
/// no connection, and what is in flight gets to end within the drain timeout. What can't is answered 503. A second signal ends
/// the wait.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    config: &ServeConfig,
    mut engine: Engine,
    listener: TcpListener,
    signals: impl Stream<Item = ()>,
) -> io::Result<()> {
    engine.model_calls = config.models.model_control == ModelControl::Explicit;
    let engine = Arc::new(engine);
    let shutdown = engine.shutdown.clone();
    let _care = start_caring(config, &engine);
    let state = AppState { engine, max_body_bytes: config.limits.max_body_bytes };
    let clients = Clients::new(app(state), patience(config));
    let mut signals = std::pin::pin!(signals.chain(futures_util::stream::pending()));
    tokio::select! {
        never = clients.accept(&listener) => match never {},
        _ = signals.next() => {}
    }
    shutdown.begin();
    let delay = Duration::from_millis(config.server.shutdown_delay_ms);
    tracing::info!(delay_ms = config.server.shutdown_delay_ms, "stopping: not ready from now on");
    tokio::select! {
        never = clients.accept(&listener) => match never {},
        _ = signals.next() => shutdown.cut(),
        () = tokio::time::sleep(delay) => {}
    }
    clients.accept_the_last(listener)?;
    tracing::info!(connections = clients.tasks.len(), "no connection is taken any more; what is in flight gets to end");
    tokio::select! {
        () = clients.gone() => return Ok(()),
        _ = signals.next() => {}
        () = tokio::time::sleep(Duration::from_secs(config.server.drain_timeout_s)) => {}
        () = shutdown.cut_off() => {}
    }
    shutdown.cut();
    tracing::warn!(connections = clients.tasks.len(), "what is still in flight is answered 503");
    // answers that their clients don't fetch are given up
    let _ = tokio::time::timeout(FAREWELL, clients.gone()).await;
    Ok(())
}

/// What goes on beside the requests: canaries, and the model repository's changes. It ends when what is answered is dropped.
fn start_caring(config: &ServeConfig, engine: &Arc<Engine>) -> JoinSet<()> {
    let mut care = JoinSet::new();
    if config.models.canary_interval_s > 0 {
        care.spawn(monitor(Arc::clone(engine), Duration::from_secs(config.models.canary_interval_s)));
    }
    if config.models.model_control == ModelControl::Poll {
        let interval = Duration::from_millis(config.models.model_poll_interval_ms);
        care.spawn(watch(Arc::clone(&engine.models), interval));
    }
    care
}

/// A connection is silent for longer than any request may take.
fn patience(config: &ServeConfig) -> Patience {
    let silence_ms = config.server.idle_timeout_ms.max(config.limits.request_timeout_ms.saturating_add(1_000));
    Patience {
        head: Duration::from_millis(config.server.header_timeout_ms),
        silence: Duration::from_millis(silence_ms),
    }
}

/// Everybody who is connected.
struct Clients {
    app: Router,
    patience: Patience,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl Clients {
    fn new(app: Router, patience: Patience) -> Self {
        Self { app, patience, tasks: TaskTracker::new(), draining: CancellationToken::new() }
    }

    async fn accept(&self, listener: &TcpListener) -> std::convert::Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.welcome(stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream) {
        let serving = connection::serve(stream, self.app.clone(), self.patience, self.draining.clone());
        self.tasks.spawn(serving);
    }

    /// Takes who has connected already, before the door is shut.
    fn accept_the_last(&self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.welcome(TcpStream::from_std(stream)?);
        }
        Ok(())
    }

    /// Ends when the last has gone.
    async fn gone(&self) {
        self.draining.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
