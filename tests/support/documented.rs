//! Holds every answer of the tests against what `/openapi.json` says of its operation.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use serde_json::Value;
use tower::ServiceExt;

use super::{MeanColor, limits, model, serving};

/// The document, which is the same for every service: this one asks for no key, and speaks HTTP.
pub async fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    if let Some(document) = DOCUMENT.get() {
        return document;
    }
    let engine = Engine::new(Repository::of(model("colors", MeanColor, 8)), &limits()).expect("threads");
    let service = serving(&Arc::new(engine));
    let request = Request::get("/openapi.json").body(Body::empty()).expect("a request");
    let response = service.oneshot(request).await.expect("the service always answers");
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("it is in memory");
    DOCUMENT.get_or_init(|| serde_json::from_slice(&body).expect("the document is JSON"))
}

/// The operation that answers `method` at `path`, where there is one.
pub fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let paths = document["paths"].as_object().expect("paths");
    // a path without names is taken before one with them
    let (_, item) =
        paths.iter().filter(|(template, _)| fits(template, path)).min_by_key(|(one, _)| one.matches('{').count())?;
    item.get(method.as_str().to_ascii_lowercase())
}

fn fits(template: &str, path: &str) -> bool {
    let (names, parts) = (template.split('/'), path.split('/'));
    names.clone().count() == parts.clone().count()
        && names.zip(parts).all(|(name, part)| name.starts_with('{') && !part.is_empty() || name == part)
}

/// Fails unless the answer is one that the operation says it may give.
pub async fn check(method: &Method, path: &str, status: u16, content_type: &str, body: &[u8]) {
    // gRPC has documents of its own
    if content_type.starts_with("application/grpc") {
        return;
    }
    let Some(operation) = operation(document().await, method, path) else { return };
    // said of the document as a whole
    if status == 405 {
        return;
    }
    let answer = &operation["responses"][status.to_string()];
    let case = format!("{method} {path}: {status} {content_type}");
    assert!(answer.is_object(), "{case} is not documented");
    let essence = content_type.split(';').next().unwrap_or_default();
    let Some(content) = answer.get("content") else {
        assert!(body.is_empty(), "{case}: a body is not documented");
        return;
    };
    assert!(content.get(essence).is_some(), "{case} is not documented: {content}");
    if status >= 400 {
        let told: Value = serde_json::from_slice(body).expect("a failure is JSON");
        let codes = content[essence]["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array().expect("codes");
        assert!(codes.contains(&told["code"]), "{case}: {} is not documented", told["code"]);
    }
}
