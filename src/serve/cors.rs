//! Which web pages may ask from a browser: the server's own alone, unless the operator names others.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, CorsLayer};

use super::v2::HEADER_LENGTH;

/// How long a browser may remember what it was allowed.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// For pages of `origins`. They may ask, and show keys, but change nothing.
pub(super) fn layer(origins: &[String]) -> CorsLayer {
    let told = [HeaderName::from_static("traceparent"), HeaderName::from_static("x-request-id"), HEADER_LENGTH];
    CorsLayer::new()
        .allow_origin(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(told.into_iter().chain([header::RETRY_AFTER]).collect::<Vec<_>>())
        .max_age(MAX_AGE)
}
