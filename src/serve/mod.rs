//! The faces of the server: they translate, and decide nothing.

mod ask;
mod asset;
mod body;
mod clients;
mod connection;
mod cors;
mod docs;
mod doors;
mod gate;
pub mod grpc;
mod head_timer;
mod http;
mod identity;
mod incoming;
mod layers;
mod log;
mod models;
mod observe;
mod openapi;
mod page;
mod run;
mod spans;
mod state;
mod status;
mod tls;
mod turn_away;
mod unread;
mod v2;

pub use doors::{Listeners, app, grpc_app};
pub use run::run;
pub use state::AppState;
#[cfg(fuzzing)]
pub use {body::fuzz_pictures, v2::fuzz_v2_body};
