//! `/openapi.json`: what the handlers say of themselves, beside them, put together and completed. A route that is routed as its
//! handler describes it can't be missing here; what a path may answer is told by [`problems`], from the one table of statuses.

mod examples;
mod finish;
pub(super) mod parameters;
pub(super) mod problems;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::OpenApi;

pub(super) use examples::{ASCII_PICTURE, TINY_PICTURE};

use super::state::AppState;

/// Bytes that are no text: a file's, or tensors'.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "bodies are read as they come; this tells of them")]
pub(super) struct File(Vec<u8>);

/// What belongs together in the document.
pub(super) mod tags {
    pub(in super::super) const PICTURES: &str = "Pictures";
    pub(in super::super) const MODELS: &str = "Models";
    pub(in super::super) const SERVER: &str = "Server";
    pub(in super::super) const PROTOCOL: &str = "Open Inference Protocol";
}

/// `GET /openapi.json`, for the routes that `document` was collected from.
pub(super) fn routes(document: OpenApi) -> Router<AppState> {
    let json = finish::finish(document).to_pretty_json().expect("the document is strings, numbers and maps of them");
    let json = Bytes::from(json);
    Router::new().route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], json)))
}
