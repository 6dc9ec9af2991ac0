//! Files for browsers that are part of the program, and what they may do there.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::http::route_not_found;

/// What a page may do: its own files, pictures of its reader's, the camera, and calls to this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; media-src 'self' blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file for browsers.
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

/// The last part of a path, where that is text.
pub(super) type Name = Result<Path<String>, PathRejection>;

/// The file of that name among `assets`.
pub(super) async fn find(assets: &[Asset], name: Name, request: &HeaderMap) -> Response {
    let found = name.ok().and_then(|Path(name)| assets.iter().find(|asset| asset.name == name));
    match found {
        Some(asset) => asset.answer(request),
        None => route_not_found().await.into_response(),
    }
}

/// The file at a path below `assets/`, called by the last part of it.
macro_rules! asset {
    ($folder:literal / $name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            content: include_str!(concat!("../../assets/", $folder, "/", $name)),
        }
    };
}
pub(super) use asset;

impl Asset {
    /// The file, or 304 to a browser that has this very one: it is to ask each time, since another build has other files.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
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
