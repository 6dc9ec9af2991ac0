//! `/detect` over HTTP: boxes in pixels of the original, as JSON or drawn.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use support::fake::sees;
use support::{MeanColor, Scripted, blue_png, detector, encode, form, model, post, send, service};

/// In the 8x8 tensor; the pictures are 64x48, so that x counts eightfold and y sixfold.
fn three_boxes() -> Router {
    service(detector(
        "boxes",
        Scripted(sees(&[
            ([1.0, 1.0, 4.0, 5.0], 0.0, 0.9),
            ([1.0, 1.0, 4.0, 4.5], 0.0, 0.8),
            ([-2.0, 3.0, 9.0, 20.0], 2.0, 0.5),
        ])),
    ))
}

#[tokio::test]
async fn boxes_lie_on_the_original_and_are_clipped_to_it() {
    let service = three_boxes();
    let reply = post(&service, "/detect", "image/png", blue_png()).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(answer["model"], "boxes");
    assert_eq!(answer["image"], json!({ "width": 64, "height": 48 }));
    let expected = json!([
        { "label": "red", "index": 0, "score": 0.9, "box": [8.0, 6.0, 32.0, 30.0] },
        { "label": "blue", "index": 2, "score": 0.5, "box": [0.0, 18.0, 64.0, 48.0] },
    ]);
    let rounded = |value: &Value| {
        let mut value = value.clone();
        for detection in value.as_array_mut().expect("a list") {
            detection["score"] = json!((detection["score"].as_f64().expect("a number") * 1e6).round() / 1e6);
        }
        value
    };
    assert_eq!(rounded(&answer["detections"]), expected, "the second box falls to the first");
}

#[tokio::test]
async fn options_choose_boxes() {
    let service = three_boxes();
    let labels = async |query: &str| {
        let reply = post(&service, &format!("/detect?{query}"), "image/png", blue_png()).await;
        assert_eq!(reply.status, 200, "{query}");
        let detections = reply.json()["detections"].clone();
        detections
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["label"].as_str().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels("threshold=0.6").await, ["red"]);
    assert_eq!(labels("iou=1").await, ["red", "red", "blue"]);
    assert_eq!(labels("max_detections=1").await, ["red"]);
    assert_eq!(labels("classes=blue,green").await, ["blue"]);
    for query in ["threshold=x", "iou=1.5", "max_detections=0", "classes=purple", "top_k=1"] {
        let reply = post(&service, &format!("/detect?{query}"), "image/png", blue_png()).await;
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["code"], "invalid_parameter", "{query}");
    }
}

#[tokio::test]
async fn the_answer_can_be_drawn() {
    let service = three_boxes();
    let gray = encode(&RgbImage::from_pixel(64, 48, Rgb([100; 3])), ImageFormat::Png);
    for (accept, query, expected) in [
        ("image/png", "", "image/png"),
        ("text/html, image/jpeg;q=0.8", "", "image/jpeg"),
        ("*/*", "?render=true", "image/png"),
    ] {
        let request =
            Request::post(format!("/detect{query}")).header("accept", accept).header("content-type", "image/png");
        let reply = send(&service, request.body(Body::from(gray.clone())).expect("a request")).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.content_type(), expected);
        let drawn = image::load_from_memory(&reply.body).expect("a picture").to_rgb8();
        assert_eq!(drawn.dimensions(), (64, 48), "the original's size");
        let changed = drawn.pixels().filter(|pixel| pixel.0.iter().any(|value| value.abs_diff(100) > 40)).count();
        assert!(changed > 100, "{accept}: something is drawn");
    }
    let (content_type, body) = form(&[&blue_png(), &blue_png()]);
    let reply = post(&service, "/detect?render=true", &content_type, body).await;
    assert_eq!(reply.json()["code"], "invalid_request", "a drawing is of one picture");
}

#[tokio::test]
async fn no_boxes_is_an_answer_and_no_number_is_an_error() {
    let nothing = service(detector("boxes", Scripted(sees(&[]))));
    let reply = post(&nothing, "/detect", "image/png", blue_png()).await;
    assert_eq!(reply.json()["detections"], json!([]));
    let crowd: Vec<_> = (0..10_000).map(|index| ([0.0, 0.0, 1.0 + index as f32 / 2e3, 6.0], 1.0, 0.5)).collect();
    let crowd = service(detector("boxes", Scripted(sees(&crowd))));
    let reply = post(&crowd, "/detect?iou=1", "image/png", blue_png()).await;
    assert_eq!(reply.json()["detections"].as_array().map(Vec::len), Some(100), "as many as asked for at most");
    let broken = service(detector("boxes", Scripted(sees(&[([0.0, 0.0, f32::NAN, 1.0], 0.0, 0.9)]))));
    let reply = post(&broken, "/detect", "image/png", blue_png()).await;
    assert_eq!(reply.status, 500);
    assert_eq!(reply.json()["code"], "inference_failed");
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("boxes holds NaN")));
}

#[tokio::test]
async fn a_model_of_the_other_task_is_named() {
    let classifier = service(model("colors", MeanColor, 8));
    let reply = post(&classifier, "/detect?model=colors", "image/png", blue_png()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (422, &json!("wrong_task")));
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("classify")));
    let reply = post(&three_boxes(), "/classify?model=boxes", "image/png", blue_png()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (422, &json!("wrong_task")));
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("detect")));
    let reply = post(&classifier, "/detect", "image/png", blue_png()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &json!("model_not_found")));
}
