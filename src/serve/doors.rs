//! Where clients come in, and which face they meet there.

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use super::state::AppState;
use super::{grpc, http, layers};

/// Where the server listens.
#[derive(Debug)]
pub struct Listeners {
    /// For HTTP.
    pub http: TcpListener,
    /// For gRPC. Without it both come in by the other.
    pub grpc: Option<TcpListener>,
}

/// A listener and what is served there.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) app: Router,
}

/// A door for each listener.
pub(super) fn open(listeners: Listeners, state: &AppState) -> Vec<Door> {
    let Listeners { http, grpc } = listeners;
    match grpc {
        Some(grpc) => vec![Door { listener: http, app: app(state) }, Door { listener: grpc, app: grpc_app(state) }],
        None => vec![Door { listener: http, app: single_port_app(state) }],
    }
}

/// The whole HTTP service.
pub fn app(state: &AppState) -> Router {
    layers::stack(http::routes(state), Arc::clone(&state.engine))
}

/// The whole gRPC service.
pub fn grpc_app(state: &AppState) -> Router {
    layers::stack(grpc::routes(state).fallback(grpc::unimplemented), Arc::clone(&state.engine))
}

/// Both at one address.
fn single_port_app(state: &AppState) -> Router {
    layers::stack(http::routes(state).merge(grpc::routes(state)), Arc::clone(&state.engine))
}
