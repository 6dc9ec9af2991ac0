//! `/` and `/page/...`: a page that tries the models in a browser. It is part of the program and asks no other host.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::asset::{Asset, JAVASCRIPT, Name, asset, find};
use super::state::AppState;

const INDEX: Asset = asset!("page" / "index.html", "text/html; charset=utf-8");

/// What the index refers to.
const ASSETS: [Asset; 12] = [
    asset!("page" / "style.css", "text/css; charset=utf-8"),
    asset!("page" / "icon.svg", "image/svg+xml"),
    asset!("page" / "app.js", JAVASCRIPT),
    asset!("page" / "dom.js", JAVASCRIPT),
    asset!("page" / "findings.js", JAVASCRIPT),
    asset!("page" / "live.js", JAVASCRIPT),
    asset!("page" / "metrics.js", JAVASCRIPT),
    asset!("page" / "options.js", JAVASCRIPT),
    asset!("page" / "picture.js", JAVASCRIPT),
    asset!("page" / "server.js", JAVASCRIPT),
    asset!("page" / "spark.js", JAVASCRIPT),
    asset!("page" / "timings.js", JAVASCRIPT),
];

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/", get(index)).route("/page/{name}", get(file))
}

/// `GET /`
async fn index(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

/// `GET /page/{name}`
async fn file(name: Name, headers: HeaderMap) -> Response {
    find(&ASSETS, name, &headers).await
}
