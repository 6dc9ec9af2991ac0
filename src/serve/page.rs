//! `/` and `/page/...`: a page that tries the models in a browser. It is part of the program and asks no other host.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::http::route_not_found;
use super::state::AppState;

/// What the page may do: its own files, pictures of its reader's, the camera, and calls to this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; media-src 'self' blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset { name: $name, content_type: $content_type, content: include_str!(concat!("../../assets/page/", $name)) }
    };
}

const INDEX: Asset = asset!("index.html", "text/html; charset=utf-8");

/// What the index refers to.
const ASSETS: [Asset; 12] = [
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("app.js", JAVASCRIPT),
    asset!("dom.js", JAVASCRIPT),
    asset!("findings.js", JAVASCRIPT),
    asset!("live.js", JAVASCRIPT),
    asset!("metrics.js", JAVASCRIPT),
    asset!("options.js", JAVASCRIPT),
    asset!("picture.js", JAVASCRIPT),
    asset!("server.js", JAVASCRIPT),
    asset!("spark.js", JAVASCRIPT),
    asset!("timings.js", JAVASCRIPT),
];

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/", get(index)).route("/page/{name}", get(asset))
}

/// `GET /`
async fn index(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

/// `GET /page/{name}`
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(&headers),
        None => route_not_found().await.into_response(),
    }
}

impl Asset {
    /// The file, or 304 to a browser that has this very one: it is to ask each time, since another build has other files.
    fn answer(&self, request: &HeaderMap) -> Response {
        let tag = self.tag();
        let known = request.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let headers = [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_TYPE, self.content_type),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        if known.is_some_and(|tags| tags.contains(&tag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.content).into_response()
    }

    /// Names the content.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}
