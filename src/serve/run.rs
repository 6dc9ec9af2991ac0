//! Listens, serves, and stops in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::http::app;
use super::state::AppState;
use crate::config::ServeConfig;
use crate::infer::Engine;
use crate::shutdown::Readiness;

/// Serves `engine` on `listener` until `shutdown` ends, then lets what is in flight end within the drain timeout.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    config: &ServeConfig,
    engine: Engine,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let readiness = Readiness::ready();
    let state = AppState { engine: Arc::new(engine), readiness: readiness.clone() };
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        readiness.withdraw();
        tracing::info!("stopping: requests in flight get to end");
        // nobody listens when the server has failed already
        let _ = stopping.send(());
    };
    let server = axum::serve(listener, app(state, config.limits.max_body_bytes)).with_graceful_shutdown(stop);
    let drain_timeout = Duration::from_secs(config.server.drain_timeout_s);
    tokio::select! {
        outcome = server => outcome,
        () = give_up(stopped, drain_timeout) => {
            tracing::warn!(drain_timeout_s = drain_timeout.as_secs(), "stopped with requests still in flight");
            Ok(())
        }
    }
}

/// Ends when `drain_timeout` has passed since the stop began; never when it doesn't begin.
async fn give_up(stopped: oneshot::Receiver<()>, drain_timeout: Duration) {
    match stopped.await {
        Ok(()) => tokio::time::sleep(drain_timeout).await,
        Err(_) => std::future::pending().await,
    }
}
