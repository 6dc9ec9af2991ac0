//! `/v2`: the Open Inference Protocol over HTTP, with the binary tensor extension.

mod answer;
mod body;
mod flat;
mod infer;
mod names;
mod tell;

use axum::Router;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;

use super::state::AppState;
use crate::error::{ErrorKind, InferError};
use answer::Failed;
pub(super) use answer::HEADER_LENGTH;

/// The routes below `/v2`.
pub(super) fn routes() -> Router<AppState> {
    let model = Router::new()
        .route("/", get(tell::model))
        .route("/ready", get(tell::model_ready))
        .route("/config", get(tell::model_config))
        .route("/stats", get(tell::model_statistics))
        .route("/infer", post(infer::infer).layer(compression()));
    Router::new()
        .route("/v2", get(tell::server))
        .route("/v2/", get(tell::server))
        .route("/v2/health/live", get(tell::live))
        .route("/v2/health/ready", get(tell::ready))
        .route("/v2/models/stats", get(tell::all_statistics))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .route("/v2/repository/index", post(tell::index))
        .route("/v2/repository/models/{model}/load", post(tell::load))
        .route("/v2/repository/models/{model}/unload", post(tell::unload))
        .route("/v2/{*path}", any(nothing))
        .method_not_allowed_fallback(other_method)
        // what is none of these is refused where bodies are read
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
}

/// Compresses tensors alone: clients that ask for it with every request don't expect it of anything else.
fn compression() -> CompressionLayer<impl Predicate> {
    let answered = |status: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| status == StatusCode::OK;
    CompressionLayer::new().compress_when(SizeAbove::default().and(answered))
}

/// A failure in the protocol's words.
pub(super) fn failed(error: InferError) -> Response {
    Failed::from(error).into_response()
}

async fn other_method() -> Failed {
    InferError::new(ErrorKind::MethodNotAllowed, "this path is not served with this method; see the header Allow")
        .into()
}

async fn nothing() -> Failed {
    InferError::new(ErrorKind::RouteNotFound, "the Open Inference Protocol has nothing at this path").into()
}

/// Reads a body as `POST .../infer` does, for the fuzzer.
#[cfg(fuzzing)]
pub fn fuzz_v2_body(body: &[u8], json_length: Option<usize>) {
    let _ = body::parse(bytes::Bytes::copy_from_slice(body), json_length);
}
