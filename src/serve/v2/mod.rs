//! `/v2`: the Open Inference Protocol over HTTP, with the binary tensor extension.

mod answer;
mod body;
mod flat;
mod infer;
mod names;
mod repository;
mod tell;
mod told;

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::state::AppState;
use crate::error::{ErrorKind, InferError};
use answer::Failed;
pub(super) use answer::{FailedBody, HEADER_LENGTH};

/// The routes below `/v2`.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    let model = OpenApiRouter::default()
        .routes(routes!(tell::model))
        .routes(routes!(tell::model_ready))
        .routes(routes!(tell::model_config))
        .routes(routes!(tell::model_statistics))
        .routes(routes!(infer::infer).layer(compression()));
    let (routes, document) = OpenApiRouter::default()
        .routes(routes!(tell::server))
        .route("/v2/", get(tell::server))
        .routes(routes!(tell::live))
        .routes(routes!(tell::ready))
        .routes(routes!(tell::all_statistics))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .routes(routes!(repository::index))
        .routes(routes!(repository::load))
        .routes(routes!(repository::unload))
        .route("/v2/{*path}", any(nothing))
        .split_for_parts();
    let routes = routes
        .method_not_allowed_fallback(other_method)
        // what is none of these is refused where bodies are read
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true));
    OpenApiRouter::with_openapi(document).merge(routes.into())
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
