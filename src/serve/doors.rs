//! Where clients come in, and which face they meet there.

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use super::state::AppState;
use super::tls::Tls;
use super::{cors, grpc, http, layers};

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
    /// Answers the handshake, where there is one.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) app: Router,
}

/// A door for each listener.
pub(super) fn open(listeners: Listeners, tls: Option<&Arc<Tls>>, state: &AppState) -> Vec<Door> {
    let Listeners { http, grpc } = listeners;
    let door = |listener, app| Door { listener, tls: tls.cloned(), app };
    match grpc {
        Some(grpc) => vec![door(http, app(state)), door(grpc, grpc_app(state))],
        None => vec![door(http, single_port_app(state))],
    }
}

/// The whole HTTP service.
pub fn app(state: &AppState) -> Router {
    for_browsers(layers::stack(http::routes(state), Arc::clone(&state.engine)), state)
}

/// The whole gRPC service.
pub fn grpc_app(state: &AppState) -> Router {
    layers::stack(grpc::routes(state).fallback(grpc::unimplemented), Arc::clone(&state.engine))
}

/// Both at one address.
fn single_port_app(state: &AppState) -> Router {
    for_browsers(layers::stack(http::routes(state).merge(grpc::routes(state)), Arc::clone(&state.engine)), state)
}

/// A browser's question whether a page may ask carries no key: it is answered outside of everything else.
fn for_browsers(app: Router, state: &AppState) -> Router {
    if state.cors_origins.is_empty() { app } else { app.layer(cors::layer(&state.cors_origins)) }
}
