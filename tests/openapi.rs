//! `/openapi.json` tells all that is routed, and nothing else; its examples run; what it refers to is there.

mod support;

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use support::documented::document;
use support::{MeanColor, get, model, post, send, service};

/// What isn't for programs, and what is told of by the document as a whole.
const NOT_TOLD: [&str; 7] = ["/", "/page/{name}", "/docs", "/docs/{name}", "/openapi.json", "/v2/", "/v2/{*path}"];
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn colors() -> Router {
    service(model("colors", MeanColor, 8))
}

/// The paths that a router has, as its own description for people who debug says: it tells them nowhere else.
fn routed(service: &Router) -> BTreeSet<String> {
    let text = format!("{service:?}");
    let marks = text.match_indices("RouteId(").filter_map(|(at, _)| text[at..].split_once("): \""));
    let paths = marks.filter_map(|(id, rest)| {
        let digits = id.trim_start_matches("RouteId(").bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| rest.split('"').next().unwrap_or_default().to_owned())
    });
    paths.filter(|path| path.starts_with('/')).collect()
}

#[tokio::test]
async fn every_path_is_told_and_no_other() {
    let service = colors();
    let told = document().await["paths"].as_object().expect("paths").keys().cloned();
    let told: BTreeSet<String> = told.chain(NOT_TOLD.map(String::from)).collect();
    // the fallbacks of axum's own
    let routed = routed(&service).into_iter().filter(|path| !path.contains("__private__axum")).collect::<BTreeSet<_>>();
    assert_eq!(routed, told);
}

#[tokio::test]
async fn every_method_is_told_and_no_other() {
    let service = colors();
    let document = document().await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            let path = path.replace("{model}", "colors").replace("{name}", "colors").replace("{version}", "1");
            let request = Request::builder().method(method.clone()).uri(&path).body(Body::empty()).expect("a request");
            let reply = send(&service, request).await;
            let told = item.get(method.as_str().to_lowercase()).is_some();
            assert_eq!(reply.status != 405, told, "{method} {path}: {}", reply.status);
        }
    }
}

#[tokio::test]
async fn whatever_is_referred_to_is_there() {
    let document = document().await;
    let mut references = Vec::new();
    collect(document, "$ref", &mut references);
    assert!(references.len() > 30, "schemas refer to each other");
    for reference in references {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut identifiers = Vec::new();
    collect(&document["paths"], "operationId", &mut identifiers);
    let distinct: BTreeSet<_> = identifiers.iter().map(|id| id.as_str().expect("text")).collect();
    assert_eq!(distinct.len(), identifiers.len(), "each operation has an id of its own");
}

#[tokio::test]
async fn how_a_key_is_shown_is_told() {
    let document = document().await;
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let either = document["security"].as_array().expect("requirements");
    let named = either.iter().flat_map(|one| one.as_object().expect("names").keys()).collect::<BTreeSet<_>>();
    assert_eq!(named, schemes.keys().collect());
    assert_eq!(either[0], serde_json::json!({}), "a server without keys asks for none");
    assert_eq!(schemes["bearer"]["scheme"], "bearer");
    assert_eq!(schemes["api_key"]["name"], "X-API-Key");
}

fn collect<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(key));
            object.values().for_each(|value| collect(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_examples_run() {
    let service = colors();
    let schemas = &document().await["components"]["schemas"];
    let picture = schemas["Base64Pictures"]["example"].to_string();
    let reply = post(&service, "/classify", "application/json", picture).await;
    assert_eq!(reply.predictions()[0]["label"], "green");
    let mut tensors = schemas["InferRequest"]["example"].clone();
    assert_eq!(tensors["inputs"][0]["datatype"], "BYTES", "for any model");
    tensors["inputs"][0]["name"] = "input".into();
    let reply = post(&service, "/v2/models/colors/infer", "application/json", tensors.to_string()).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
}

#[tokio::test]
async fn the_documents_page_asks_this_server_alone() {
    let service = colors();
    let index = get(&service, "/docs").await;
    let text = String::from_utf8(index.body.clone()).expect("text");
    assert_eq!(index.content_type(), "text/html; charset=utf-8");
    let policy = index.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("script-src 'self';") && policy.contains("connect-src 'self';"), "{policy}");
    let named: Vec<_> = ["src=\"", "href=\""].iter().flat_map(|before| text.split(before).skip(1)).collect();
    assert_eq!(named.len(), 5);
    for rest in named {
        let path = rest.split('"').next().expect("a path");
        assert_eq!(get(&service, path).await.status, 200, "{path}");
    }
    assert_eq!(get(&service, "/docs/absent.js").await.status, 404);
    assert_eq!(get(&service, "/docs/%FF").await.status, 404);
}
