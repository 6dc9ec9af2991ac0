//! The faces of the server: they translate, and decide nothing.

mod ask;
mod body;
mod http;
mod layers;
mod run;
mod status;

pub use http::{AppState, app};
pub use run::run;
