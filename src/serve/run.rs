//! Listens, serves, and stops in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::task::JoinSet;

use super::clients::Clients;
use super::connection::Patience;
use super::doors::{Door, Listeners, open};
use super::state::AppState;
use super::tls::Tls;
use crate::access::Access;
use crate::config::{ModelControl, ServeConfig};
use crate::infer::Engine;
use crate::model::watch;
use crate::monitor::monitor;
use crate::telemetry::Tracer;

/// How long answers that tell of the end get to reach their clients.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves `engine` on `listeners` until `signals` gives one. From then on the server isn't ready; after the shutdown delay it takes
/// no connection, and what is in flight gets to end within the drain timeout. What can't is answered 503, or UNAVAILABLE. A second
/// signal ends the wait. At last the traces that wait are sent.
///
/// # Errors
/// When a listener fails, an API key's line or a certificate can't be read, or the traces' collector is no URL.
pub async fn run(
    config: &ServeConfig,
    mut engine: Engine,
    listeners: Listeners,
    signals: impl Stream<Item = ()>,
) -> io::Result<()> {
    engine.model_calls = config.models.model_control == ModelControl::Explicit;
    engine.access = Access::of(config.access.key_source(), &config.access.open).map_err(io::Error::other)?;
    engine.tracer = Tracer::start(&config.traces).map_err(io::Error::other)?;
    engine.counts = config.log.metrics;
    let engine = Arc::new(engine);
    let tls = Tls::of(&config.tls).map_err(io::Error::other)?;
    let mut care = start_caring(config, &engine);
    if let Some(tls) = tls.clone() {
        care.spawn(async move { tls.follow().await });
    }
    let mut state = AppState::new(Arc::clone(&engine), &config.limits);
    state.cors_origins = config.access.cors_origin.clone().into();
    let outcome = serve(config, &engine, open(listeners, tls.as_ref(), &state), signals).await;
    drop(care);
    engine.tracer.shut_down().await;
    outcome
}

async fn serve(
    config: &ServeConfig,
    engine: &Engine,
    doors: Vec<Door>,
    signals: impl Stream<Item = ()>,
) -> io::Result<()> {
    let shutdown = &engine.shutdown;
    let most = config.server.max_connections;
    let clients = Clients::new(patience(config), most, Arc::clone(&engine.metrics), shutdown.clone());
    let mut signals = std::pin::pin!(signals.chain(futures_util::stream::pending()));
    tokio::select! {
        never = clients.accept(&doors) => match never {},
        _ = signals.next() => {}
    }
    shutdown.begin();
    let delay = Duration::from_millis(config.server.shutdown_delay_ms);
    tracing::info!(delay_ms = config.server.shutdown_delay_ms, "stopping: not ready from now on");
    tokio::select! {
        never = clients.accept(&doors) => match never {},
        _ = signals.next() => shutdown.cut(),
        () = tokio::time::sleep(delay) => {}
    }
    clients.accept_the_last(doors)?;
    tracing::info!(connections = clients.count(), "no connection is taken any more; what is in flight gets to end");
    tokio::select! {
        () = clients.gone() => return Ok(()),
        _ = signals.next() => {}
        () = tokio::time::sleep(Duration::from_secs(config.server.drain_timeout_s)) => {}
        () = shutdown.cut_off() => {}
    }
    shutdown.cut();
    tracing::warn!(connections = clients.count(), "what is still in flight is told so");
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
    if engine.access.is_some() {
        care.spawn(follow_keys(Arc::clone(engine)));
    }
    if config.models.model_control == ModelControl::Poll {
        let interval = Duration::from_millis(config.models.model_poll_interval_ms);
        care.spawn(watch(Arc::clone(&engine.models), interval));
    }
    care
}

async fn follow_keys(engine: Arc<Engine>) {
    if let Some(access) = &engine.access {
        access.follow().await;
    }
}

/// A connection is silent for longer than any request may take.
fn patience(config: &ServeConfig) -> Patience {
    let silence_ms = config.server.idle_timeout_ms.max(config.limits.request_timeout_ms.saturating_add(1_000));
    Patience {
        head: Duration::from_millis(config.server.header_timeout_ms),
        silence: Duration::from_millis(silence_ms),
    }
}
