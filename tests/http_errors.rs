//! What is wrong with a request is told with the right status and a stable code, and the server goes on. Every case is one of
//! `/classify` and of `/detect`.

mod support;

use std::sync::mpsc;

use axum::Router;
use cenet_serve::backend::Backend;
use cenet_serve::error::{ErrorKind, InferError, Result};
use ndarray::{ArrayD, array};
use support::{
    MAX_BODY_BYTES, MeanColor, Reply, Scripted, blue_png, detector, form, get, model, post, red_jpeg, service,
};

/// A route, with a service that answers on it.
struct Route {
    path: &'static str,
    service: Router,
}

/// Both routes, each over a network that answers well.
fn routes() -> [Route; 2] {
    [classifies(MeanColor), detects(Scripted(one_blue_box))]
}

fn classifies(network: impl Backend + 'static) -> Route {
    Route { path: "/classify", service: service(model("colors", network, 8)) }
}

fn detects(network: impl Backend + 'static) -> Route {
    Route { path: "/detect", service: service(detector("boxes", network)) }
}

/// What a detector's network gives: a box of the third label, whatever it sees.
fn one_blue_box(_: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
    Ok(vec![array![[1.0, 1.0, 5.0, 5.0]].into_dyn(), array![2.0].into_dyn(), array![0.9].into_dyn()])
}

impl Route {
    async fn post(&self, query: &str, content_type: &str, body: impl Into<axum::body::Body>) -> Reply {
        post(&self.service, &format!("{}{query}", self.path), content_type, body).await
    }

    /// Checks the problem details, then that a good picture is still answered.
    async fn refused(&self, case: &str, reply: Reply, status: u16, code: &str) {
        let case = format!("{} {case}", self.path);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, status, "{case}: {text}");
        assert_eq!(reply.content_type(), "application/problem+json", "{case}");
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{case}: {text}");
        assert_eq!(problem["status"], status, "{case}");
        assert!(problem["title"].is_string(), "{case}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 15), "{case}: {text}");
        let next = self.post("", "image/png", blue_png()).await.json();
        let found = if self.path == "/classify" { &next["predictions"] } else { &next["detections"] };
        assert_eq!(found[0]["label"], "blue", "after {case}: {next}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_good_picture() {
    let jpeg = red_jpeg();
    let part = |percent: usize| jpeg[..jpeg.len() * percent / 100].to_vec();
    let cases: [(&str, &str, Vec<u8>, u16, &str); 12] = [
        ("empty", "image/jpeg", vec![], 400, "empty_body"),
        ("text", "application/octet-stream", b"hello, is this a picture?".to_vec(), 415, "unsupported_image"),
        ("cut at 10%", "image/jpeg", part(10), 422, "invalid_image"),
        ("cut at 50%", "image/jpeg", part(50), 422, "invalid_image"),
        ("cut at 90%", "image/jpeg", part(90), 422, "invalid_image"),
        ("content type", "text/html", jpeg.clone(), 415, "unsupported_media_type"),
        ("oversize", "image/jpeg", vec![0; MAX_BODY_BYTES + 1], 413, "payload_too_large"),
        ("bomb", "image/png", png_claiming(10_000, 10_000), 413, "image_too_large"),
        ("no JSON", "application/json", b"{".to_vec(), 400, "invalid_request"),
        ("no base64", "application/json", br#"{"image": "***"}"#.to_vec(), 400, "invalid_request"),
        ("empty base64", "application/json", br#"{"image": ""}"#.to_vec(), 400, "empty_body"),
        ("misspelt key", "application/json", br#"{"imge": "AAAA"}"#.to_vec(), 400, "invalid_request"),
    ];
    for route in routes() {
        for (case, content_type, body, status, code) in &cases {
            let reply = route.post("", content_type, body.clone()).await;
            route.refused(case, reply, *status, code).await;
        }
    }
}

#[tokio::test]
async fn forms_that_hold_no_picture() {
    let (content_type, nothing) = form(&[]);
    let (_, mut broken) = form(&[&red_jpeg()]);
    broken.truncate(broken.len() - 40);
    let option = b"--boundary\r\ncontent-disposition: form-data; name=\"top_k\"\r\n\r\n3\r\n--boundary--\r\n".to_vec();
    let (_, large) = form(&[&vec![0; MAX_BODY_BYTES]]);
    let (_, crowd) = form(&[red_jpeg().as_slice(); 5]);
    let cases: [(&str, &str, Vec<u8>, u16, &str); 6] = [
        ("no file", &content_type, nothing, 400, "invalid_request"),
        ("broken off", &content_type, broken, 400, "invalid_request"),
        ("no boundary", "multipart/form-data", vec![], 400, "invalid_request"),
        ("an option in the form", &content_type, option, 400, "invalid_request"),
        ("oversize form", &content_type, large, 413, "payload_too_large"),
        ("five pictures where four fit", &content_type, crowd, 400, "invalid_request"),
    ];
    for route in routes() {
        for (case, content_type, body, status, code) in &cases {
            let reply = route.post("", content_type, body.clone()).await;
            route.refused(case, reply, *status, code).await;
        }
    }
}

#[tokio::test]
async fn parameters_out_of_their_range() {
    let both = [
        ("?threshold=NaN", 400, "invalid_parameter"),
        ("?threshold=high", 400, "invalid_parameter"),
        ("?treshold=0.3", 400, "invalid_parameter"),
        ("?model=nobody", 404, "model_not_found"),
        ("?version=7", 404, "model_not_found"),
        ("?version=new", 400, "invalid_parameter"),
    ];
    let own = [
        ["?top_k=0", "?top_k=-1", "?top_k=many", "?iou=0.5"],
        ["?max_detections=0", "?iou=1.5", "?iou=NaN", "?classes=purple"],
    ];
    for (route, own) in routes().iter().zip(own) {
        for (query, status, code) in both.into_iter().chain(own.map(|query| (query, 400, "invalid_parameter"))) {
            let reply = route.post(query, "image/jpeg", red_jpeg()).await;
            route.refused(query, reply, status, code).await;
        }
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served() {
    for route in routes() {
        route.refused("path", get(&route.service, "/nothing").await, 404, "route_not_found").await;
        let reply = get(&route.service, route.path).await;
        assert_eq!(reply.headers["allow"], "POST");
        route.refused("method", reply, 405, "method_not_allowed").await;
    }
}

/// Each second answer is `good`'s; before it come an error, a panic, and outputs that are no numbers and of a wrong shape.
fn failing(
    mut good: impl FnMut(ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> + Send + 'static,
    wrong: impl Fn() -> Vec<ArrayD<f32>> + Send + 'static,
) -> impl Backend + 'static {
    let mut calls = 0;
    Scripted(move |input| {
        calls += 1;
        match calls {
            1 => Err(InferError::new(ErrorKind::InferenceFailed, "the network refuses this picture")),
            3 => panic!("a kernel's defect"),
            5 => Ok(good(input)?.into_iter().map(|output| output * f32::NAN).collect()),
            7 => Ok(wrong()),
            _ => good(input),
        }
    })
}

#[tokio::test]
async fn a_network_that_fails_or_panics_fails_one_request() {
    let two_scores = || vec![ArrayD::zeros(vec![1, 2])];
    let three_edges = || [vec![1, 3], vec![1], vec![1]].map(ArrayD::zeros).to_vec();
    let routes =
        [classifies(failing(|input| MeanColor.infer(input), two_scores)), detects(failing(one_blue_box, three_edges))];
    for route in routes {
        for case in ["an error", "a panic", "not a number", "a wrong shape"] {
            let reply = route.post("", "image/png", blue_png()).await;
            route.refused(case, reply, 500, "inference_failed").await;
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_turned_away_at_once() {
    let (begun, mut wait_until_begun) = tokio::sync::mpsc::unbounded_channel();
    let (let_go, wait_until_let_go) = mpsc::channel::<()>();
    let mut mean_color = MeanColor;
    let network = Scripted(move |input| {
        begun.send(()).expect("the test listens");
        wait_until_let_go.recv().expect("the test lets go");
        mean_color.infer(input)
    });
    let service = service(model("colors", network, 8));
    let (content_type, body) = form(&[blue_png().as_slice(); 4]);
    let crowd = tokio::spawn({
        let service = service.clone();
        async move { post(&service, "/classify", &content_type, body).await }
    });
    wait_until_begun.recv().await.expect("the crowd's first picture reaches the network");

    let reply = post(&service, "/classify", "image/png", blue_png()).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(reply.json()["code"], "overloaded");
    assert_eq!(get(&service, "/healthz").await.status, 200, "health is told all the same");

    for _ in 0..4 {
        let_go.send(()).expect("the network waits");
    }
    let results = crowd.await.expect("no panic").json()["results"].clone();
    let labels: Vec<_> =
        results.as_array().expect("a list").iter().map(|one| &one["predictions"][0]["label"]).collect();
    assert_eq!(labels, ["blue"; 4]);
    let_go.send(()).expect("the network waits");
    post(&service, "/classify", "image/png", blue_png()).await.predictions();
}

/// The head of a PNG file, with a valid checksum, that claims a size and holds no pixels.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    file.extend(13_u32.to_be_bytes());
    file.extend(&header);
    file.extend(crc32(&header).to_be_bytes());
    file.extend([0, 0, 0, 0]);
    file.extend(b"IDAT");
    file.extend(crc32(b"IDAT").to_be_bytes());
    file
}

/// PNG's checksum (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}
