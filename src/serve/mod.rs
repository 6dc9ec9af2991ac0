//! The faces of the server: they translate, and decide nothing.

mod ask;
mod body;
mod connection;
mod http;
mod incoming;
mod layers;
mod models;
mod run;
mod state;
mod status;
mod v2;

pub use http::app;
pub use run::run;
pub use state::AppState;
#[cfg(fuzzing)]
pub use v2::fuzz_v2_body;
