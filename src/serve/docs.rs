//! `/docs`: Swagger UI for `/openapi.json`, out of the program itself.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use super::asset::{Asset, JAVASCRIPT, Name, asset, find};
use super::state::AppState;

const CSS: &str = "text/css; charset=utf-8";

const INDEX: Asset = asset!("docs" / "index.html", "text/html; charset=utf-8");

/// A file of Swagger UI, which the build has unpacked.
macro_rules! swagger_ui {
    ($name:literal, $content_type:expr) => {
        Asset { name: $name, content_type: $content_type, content: include_str!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

const ASSETS: [Asset; 4] = [
    asset!("docs" / "docs.css", CSS),
    asset!("docs" / "docs.js", JAVASCRIPT),
    swagger_ui!("swagger-ui.css", CSS),
    swagger_ui!("swagger-ui-bundle.js", JAVASCRIPT),
];

pub(super) fn routes() -> Router<AppState> {
    // the bundle is 1.5 MB
    Router::new().route("/docs", get(index)).route("/docs/{name}", get(file)).layer(CompressionLayer::new())
}

/// `GET /docs`
async fn index(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

/// `GET /docs/{name}`
async fn file(name: Name, headers: HeaderMap) -> Response {
    find(&ASSETS, name, &headers).await
}
