//! Networks that hang, fail, panic and answer nonsense: whom it concerns is told so, at once, and nobody else notices.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cenet_serve::batch::BatchPolicy;
use cenet_serve::config::LimitOptions;
use cenet_serve::monitor::monitor;
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::Value;
use support::fake::{Fake, Mood};
use support::{
    Reply, batching_model, blue_png, engine, form, get, green_png, limits, model, post, red_jpeg, send, service,
    serving,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

fn roomy() -> LimitOptions {
    LimitOptions { max_images_in_flight: 64, ..limits() }
}

/// The same on a task of its own: it goes on while the test waits for other things.
fn spawn_post(service: &Router, header: (&'static str, &'static str), picture: Vec<u8>) -> JoinHandle<Reply> {
    let service = service.clone();
    tokio::spawn(async move { post_with(&service, header, picture).await })
}

async fn post_with(service: &Router, header: (&str, &str), picture: Vec<u8>) -> Reply {
    let request = Request::post("/classify?top_k=1").header("content-type", "image/png").header(header.0, header.1);
    send(service, request.body(Body::from(picture)).expect("a request")).await
}

fn labels(reply: &Reply) -> Vec<Value> {
    let results = reply.json()["results"].clone();
    let results = results.as_array().expect("a list");
    results.iter().map(|one| one["predictions"][0]["label"].clone()).collect()
}

#[tokio::test]
async fn one_poisonous_picture_among_31_good_ones_fails_alone() {
    let (fake, mut batches) = Fake::new(Mood::FearsGreen);
    let policy = BatchPolicy { max_size: 32, max_delay: Duration::from_secs(60) };
    let service = serving(&engine(batching_model("colors", fake.instances(1), policy, 64), &roomy()));
    let mut pictures = vec![blue_png(); 32];
    pictures[17] = green_png();
    let files: Vec<_> = pictures.iter().map(Vec::as_slice).collect();
    let (content_type, body) = form(&files);
    let reply = post(&service, "/classify?top_k=1", &content_type, body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(batches.recv().await, Some(32), "they went together");
    for (index, result) in reply.json()["results"].as_array().expect("a list").iter().enumerate() {
        match index {
            17 => assert_eq!(result["error"]["code"], "inference_failed"),
            _ => assert_eq!(result["predictions"][0]["label"], "blue", "{index}"),
        }
    }
}

#[tokio::test]
async fn a_deadline_is_told_the_moment_that_it_passes() {
    let (fake, mut batches) = Fake::new(Mood::Hold);
    let service = service(model("colors", fake.clone(), 8));
    let first = spawn_post(&service, ("x-request-timeout-ms", "20000"), blue_png());
    assert_eq!(batches.recv().await, Some(1), "the network is busy with it");
    tokio::time::pause();
    let begun = Instant::now();
    // waits behind the first, and has less time
    let second = post_with(&service, ("x-request-timeout-ms", "700"), red_jpeg()).await;
    assert_eq!((second.status.as_u16(), &second.json()["code"]), (504, &Value::from("deadline_exceeded")));
    let elapsed_ms = begun.elapsed().as_millis();
    assert!((700..=701).contains(&elapsed_ms), "{elapsed_ms}: timers tick in milliseconds");
    assert_eq!(first.await.expect("no panic").status, 504, "though the network is at it");
    tokio::time::resume();
    fake.set(Mood::Right);
    assert_eq!(post_with(&service, ("x-request-priority", "normal"), blue_png()).await.status, 200);
    assert_eq!(batches.recv().await, Some(1));
    assert_eq!(batches.recv().now_or_never(), None, "the second picture never reached the network");
}

#[tokio::test]
async fn no_request_may_ask_for_more_time_than_the_server_gives() {
    let (fake, mut batches) = Fake::new(Mood::Hold);
    let limits = LimitOptions { request_timeout_ms: 1500, ..limits() };
    let service = serving(&engine(model("colors", fake.clone(), 8), &limits));
    let patient = spawn_post(&service, ("x-request-timeout-ms", "99000"), blue_png());
    batches.recv().await.expect("the network is busy with it");
    tokio::time::pause();
    assert_eq!(patient.await.expect("no panic").status, 504);
    fake.set(Mood::Right);
}

#[tokio::test]
async fn terms_that_cannot_be_read_are_refused() {
    let service = service(model("colors", Fake::new(Mood::Right).0, 8));
    for (header, value) in [
        ("x-request-timeout-ms", "soon"),
        ("x-request-timeout-ms", "0"),
        ("x-request-timeout-ms", "-5"),
        ("x-request-timeout-ms", "1.5"),
        ("x-request-priority", "highest"),
    ] {
        let reply = post_with(&service, (header, value), blue_png()).await;
        assert_eq!(reply.status, 400, "{header}: {value}");
        assert_eq!(reply.json()["code"], "invalid_parameter", "{header}: {value}");
    }
}

#[tokio::test]
async fn high_priority_finds_a_place_and_goes_first() {
    let (fake, mut batches) = Fake::new(Mood::Hold);
    let engine = engine(model("colors", fake.clone(), 16), &roomy());
    let service = serving(&engine);
    let normal = ("x-request-priority", "normal");
    let crowd: Vec<_> = (0..14).map(|_| spawn_post(&service, normal, blue_png())).collect();
    batches.recv().await.expect("the network is busy");
    assert_eq!(engine.models.catalog().models().next().expect("a model").admission.in_flight(), 14);
    let turned_away = post_with(&service, normal, blue_png()).await;
    assert_eq!((turned_away.status.as_u16(), &turned_away.json()["code"]), (429, &Value::from("overloaded")));
    let urgent = spawn_post(&service, ("x-request-priority", "high"), red_jpeg());
    assert_eq!(get(&service, "/healthz").await.status, 200);
    fake.set(Mood::Right);
    assert_eq!(urgent.await.expect("no panic").status, 200, "it wasn't turned away");
    assert!(join_all(crowd).await.into_iter().all(|reply| reply.expect("no panic").status == 200));
}

#[tokio::test]
async fn memory_for_bodies_is_bounded() {
    let (fake, mut batches) = Fake::new(Mood::Hold);
    let limits = LimitOptions { memory_budget_mib: 1, ..roomy() };
    let service = serving(&engine(model("colors", fake.clone(), 64), &limits));
    let mut large = blue_png();
    large.resize(900 << 10, 0);
    let first = spawn_post(&service, ("x-request-priority", "normal"), large.clone());
    batches.recv().await.expect("trailing bytes are no harm to a PNG");
    let second = post_with(&service, ("x-request-priority", "normal"), large.clone()).await;
    assert_eq!((second.status.as_u16(), &second.json()["code"]), (429, &Value::from("overloaded")));
    fake.set(Mood::Right);
    assert_eq!(first.await.expect("no panic").status, 200);
    assert_eq!(post_with(&service, ("x-request-priority", "normal"), large).await.status, 200, "given back");
}

#[tokio::test]
async fn every_kind_of_failure_is_one_requests_own() {
    let (fake, _batches) = Fake::new(Mood::Right);
    let policy = BatchPolicy { max_size: 8, max_delay: Duration::ZERO };
    let service = serving(&engine(batching_model("colors", fake.instances(2), policy, 64), &roomy()));
    let (content_type, body) = form(&[&blue_png(), &red_jpeg(), &green_png()]);
    for mood in [Mood::Fail, Mood::Panic, Mood::Nan, Mood::WrongShape] {
        fake.set(mood);
        let reply = post(&service, "/classify", "image/png", blue_png()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (500, &Value::from("inference_failed")), "{mood:?}");
        fake.set(Mood::Right);
        let reply = post(&service, "/classify", &content_type, body.clone()).await;
        assert_eq!(labels(&reply), ["blue", "red", "green"], "after {mood:?}");
    }
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_taken_out_of_service_until_it_answers_right() {
    let (fake, _batches) = Fake::new(Mood::Right);
    let engine = engine(model("colors", fake.clone(), 8), &limits());
    let service = serving(&engine);
    let watching = tokio::spawn(monitor(Arc::clone(&engine), Duration::from_millis(10)));
    let ready = async |wanted: bool| {
        while (get(&service, "/readyz").await.status == 200) != wanted {
            tokio::task::yield_now().await;
        }
    };
    ready(true).await;
    fake.set(Mood::Nan);
    ready(false).await;
    let reply = get(&service, "/readyz").await;
    assert_eq!(reply.status, 503);
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("colors")), "{}", reply.json());
    let reply = post(&service, "/classify", "image/png", blue_png()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &Value::from("unavailable")));
    assert_eq!(get(&service, "/v1/models").await.json()["models"][0]["state"], "failing");
    fake.set(Mood::Right);
    ready(true).await;
    assert_eq!(post(&service, "/classify", "image/png", blue_png()).await.status, 200);
    watching.abort();
}

#[tokio::test]
async fn requests_that_fail_in_a_row_call_for_a_canary_at_once() {
    let (fake, _batches) = Fake::new(Mood::Right);
    let engine = engine(model("colors", fake.clone(), 8), &limits());
    let service = serving(&engine);
    let watching = tokio::spawn(monitor(Arc::clone(&engine), Duration::from_secs(3600)));
    fake.set(Mood::FearsGreen);
    for _ in 0..7 {
        assert_eq!(post(&service, "/classify", "image/png", green_png()).await.status, 500);
    }
    assert_eq!(post(&service, "/classify", "image/png", blue_png()).await.status, 200, "the pictures were at fault");
    fake.set(Mood::Fail);
    while get(&service, "/readyz").await.status == 200 {
        post(&service, "/classify", "image/png", blue_png()).await;
    }
    watching.abort();
}
