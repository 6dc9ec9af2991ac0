//! `cenet.v1.Vision` answers as HTTP does, call by call and in streams.

mod support;

use std::time::Duration;

use cenet_serve::batch::BatchPolicy;
use cenet_serve::config::LimitOptions;
use cenet_serve::serve::grpc::proto::vision::{
    Box as Edges, ClassifyReply, ClassifyRequest, DetectRequest, Detections, PictureFormat, Prediction, classify_reply,
    classify_result, detect_result,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use image::GenericImageView;
use serde_json::Value;
use support::fake::{Fake, Mood, sees};
use support::grpc::{best, classify, error_code, vision};
use support::{
    MAX_BODY_BYTES, MeanColor, Scripted, batching_model, blue_png, detector, engine, get, green_png, limits, model,
    post, red_jpeg, serving,
};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

#[tokio::test]
async fn a_picture_is_classified_as_over_http() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let request = ClassifyRequest { id: "mine".into(), top_k: Some(2), ..classify(&[&blue_png()]) };
    let answer = vision(&engine).classify(request).await.expect("answered").into_inner();
    assert_eq!((answer.id.as_str(), answer.model.as_str(), answer.version.as_str()), ("mine", "colors", "1"));
    let Some(classify_result::Outcome::Classification(found)) = &answer.results[0].outcome else {
        panic!("no labels: {answer:?}")
    };
    let over_http = post(&serving(&engine), "/classify?top_k=2", "image/png", blue_png()).await.predictions();
    let over_http: Vec<Prediction> = over_http.as_array().expect("a list").iter().map(prediction).collect();
    assert_eq!(found.predictions, over_http);
    let size = found.image.expect("a size");
    assert_eq!((size.width, size.height), (64, 48));
    let timings = found.timings.expect("timings");
    assert!(timings.total_ms >= timings.inference_ms && timings.decode_ms > 0.0, "{timings:?}");
}

fn prediction(told: &Value) -> Prediction {
    let [index, score] = ["index", "score"].map(|key| told[key].as_f64().expect("a number"));
    Prediction { label: told["label"].as_str().expect("text").into(), index: index as u32, score: score as f32 }
}

#[tokio::test]
async fn one_bad_picture_leaves_the_others_alone() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let request = classify(&[&red_jpeg(), b"no picture", &green_png()]);
    let answer = vision(&engine).classify(request).await.expect("answered").into_inner();
    assert_eq!(best(&answer), ["red", "unsupported_image", "green"]);
    let Some(classify_result::Outcome::Error(error)) = &answer.results[1].outcome else { panic!("no error") };
    assert_eq!(error.status, Code::InvalidArgument as i32);
}

#[tokio::test]
async fn boxes_are_found_chosen_and_drawn() {
    let network = Scripted(sees(&[([1.0, 1.0, 4.0, 5.0], 0.0, 0.9), ([-2.0, 3.0, 9.0, 20.0], 2.0, 0.5)]));
    let engine = engine(detector("boxes", network), &limits());
    let mut client = vision(&engine);
    let images = vec![blue_png().into(), red_jpeg().into()];
    let all = DetectRequest { images, render: PictureFormat::Png.into(), ..DetectRequest::default() };
    let answer = client.detect(all.clone()).await.expect("answered").into_inner();
    let found: Vec<Detections> = answer.results.into_iter().map(detections).collect();
    assert_eq!(found.len(), 2, "several pictures may be drawn at once");
    let labels: Vec<_> = found[0].detections.iter().map(|detection| detection.label.as_str()).collect();
    assert_eq!(labels, ["red", "blue"]);
    assert_eq!(found[0].detections[0].r#box, Some(Edges { x1: 8.0, y1: 6.0, x2: 32.0, y2: 30.0 }));
    for detections in &found {
        assert!(detections.rendered.starts_with(b"\x89PNG"));
        assert_eq!(image::load_from_memory(&detections.rendered).expect("a picture").dimensions(), (64, 48));
    }
    let some = DetectRequest { classes: vec!["blue".into()], render: 0, ..all };
    let answer = client.detect(some).await.expect("answered").into_inner();
    for detections in answer.results.into_iter().map(detections) {
        assert_eq!((detections.detections.len(), detections.detections[0].index), (1, 2));
        assert!(detections.rendered.is_empty());
    }
}

fn detections(result: cenet_serve::serve::grpc::proto::vision::DetectResult) -> Detections {
    match result.outcome {
        Some(detect_result::Outcome::Detections(detections)) => detections,
        other => panic!("no boxes: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_its_status() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let mut client = vision(&engine);
    let blue = blue_png();
    let one = || classify(&[&blue]);
    let cases = [
        (classify(&[]), Code::InvalidArgument, "invalid_request"),
        (classify(&[&blue, b""]), Code::InvalidArgument, "empty_body"),
        (ClassifyRequest { model: "nobody".into(), ..one() }, Code::NotFound, "model_not_found"),
        (ClassifyRequest { version: "7".into(), ..one() }, Code::NotFound, "model_not_found"),
        (ClassifyRequest { top_k: Some(0), ..one() }, Code::InvalidArgument, "invalid_parameter"),
        (ClassifyRequest { threshold: Some(f32::NAN), ..one() }, Code::InvalidArgument, "invalid_parameter"),
        (classify(&[&[0; MAX_BODY_BYTES]]), Code::OutOfRange, "payload_too_large"),
    ];
    for (request, code, expected) in cases {
        let status = client.classify(request).await.expect_err(expected);
        assert_eq!((status.code(), error_code(&status)), (code, expected), "{status:?}");
    }
    let wrong_task = DetectRequest { model: "colors".into(), images: vec![blue.into()], ..DetectRequest::default() };
    let status = client.detect(wrong_task.clone()).await.expect_err("a classifier");
    assert_eq!((status.code(), error_code(&status)), (Code::FailedPrecondition, "wrong_task"));
    assert_eq!(status.get_details_error_info().map(|info| info.reason), Some("wrong_task".into()));
    let status = client.detect(DetectRequest { render: 9, ..wrong_task }).await.expect_err("no format");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn malformed_metadata_is_told() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    for (key, value) in [("grpc-timeout", "soon"), ("x-request-priority", "utmost")] {
        let mut request = Request::new(classify(&[&blue_png()]));
        request.metadata_mut().insert(key, value.parse().expect("metadata"));
        let status = vision(&engine).classify(request).await.expect_err("malformed");
        assert_eq!((status.code(), error_code(&status)), (Code::InvalidArgument, "invalid_parameter"));
        assert!(status.message().contains(key), "{status:?}");
    }
}

#[tokio::test]
async fn a_deadline_is_told_at_once() {
    let (network, _batches) = Fake::new(Mood::Hold);
    let engine = engine(model("colors", network.clone(), 8), &limits());
    let mut request = Request::new(classify(&[&blue_png()]));
    request.set_timeout(Duration::from_millis(5));
    // the network answers nothing before this does
    let status = vision(&engine).classify(request).await.expect_err("held");
    assert_eq!((status.code(), error_code(&status)), (Code::DeadlineExceeded, "deadline_exceeded"));
    network.set(Mood::Right);
}

#[tokio::test]
async fn who_finds_no_place_is_told_when_to_come_again() {
    let (network, mut batches) = Fake::new(Mood::Hold);
    let engine = engine(model("colors", network.clone(), 1), &limits());
    let mut client = vision(&engine);
    let mut other = client.clone();
    let first = tokio::spawn(async move { other.classify(classify(&[&blue_png()])).await });
    batches.recv().await.expect("the network is busy");
    let status = client.classify(classify(&[&blue_png()])).await.expect_err("full");
    assert_eq!((status.code(), error_code(&status)), (Code::ResourceExhausted, "overloaded"));
    assert_eq!(status.metadata().get("retry-after").map(MetadataValue::as_bytes), Some(b"1".as_slice()));
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    network.set(Mood::Right);
    let answer = first.await.expect("no panic").expect("answered").into_inner();
    assert_eq!(best(&answer), ["blue"]);
}

#[tokio::test]
async fn high_priority_finds_a_place_that_is_kept() {
    let (network, mut batches) = Fake::new(Mood::Hold);
    let limits = LimitOptions { max_images_in_flight: 64, ..limits() };
    let engine = engine(model("colors", network.clone(), 8), &limits);
    let mut crowd = vision(&engine);
    let seven = vec![blue_png(); 7];
    let seven = classify(&seven.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let crowd = tokio::spawn(async move { crowd.classify(seven).await });
    batches.recv().await.expect("the network is busy");
    let ask = |priority: &'static str| {
        let mut request = Request::new(classify(&[&red_jpeg()]));
        request.metadata_mut().insert("x-request-priority", priority.parse().expect("metadata"));
        let mut client = vision(&engine);
        async move { client.classify(request).await }
    };
    assert_eq!(ask("normal").await.expect_err("full").code(), Code::ResourceExhausted);
    let urgent = tokio::spawn(ask("high"));
    network.set(Mood::Right);
    assert_eq!(best(urgent.await.expect("no panic").expect("answered").get_ref()), ["red"]);
    assert_eq!(crowd.await.expect("no panic").expect("answered").get_ref().results.len(), 7);
}

fn outcome(reply: &ClassifyReply) -> (&str, &str) {
    let outcome = match reply.outcome.as_ref().expect("an outcome") {
        classify_reply::Outcome::Response(response) => best(response)[0],
        classify_reply::Outcome::Error(error) => &error.code,
    };
    (reply.id.as_str(), outcome)
}

#[tokio::test]
async fn a_stream_is_read_no_further_than_it_is_answered() {
    const IN_FLIGHT: u16 = 3;
    const REQUESTS: usize = 20;
    let (network, mut batches) = Fake::new(Mood::Hold);
    // whatever is read beyond the stream's limit finds no place
    let limits = LimitOptions { max_images_in_flight: IN_FLIGHT, stream_in_flight: IN_FLIGHT, ..limits() };
    let colors = batching_model("colors", network.instances(IN_FLIGHT.into()), BatchPolicy::SINGLE, 64);
    let engine = engine(colors, &limits);
    let state = cenet_serve::serve::AppState::new(engine, &limits);
    let service = cenet_serve::serve::grpc_app(&state);
    let mut client = cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient::new(service);
    let picture = |number: usize| if number.is_multiple_of(2) { red_jpeg() } else { blue_png() };
    let requests = stream::iter(0..REQUESTS)
        .map(move |number| ClassifyRequest { id: number.to_string(), ..classify(&[&picture(number)]) });
    let replies = client.classify_stream(requests).await.expect("a stream").into_inner();
    let replies = tokio::spawn(replies.try_collect::<Vec<_>>());
    for _ in 0..IN_FLIGHT {
        batches.recv().await.expect("as many are run at once");
    }
    network.set(Mood::Right);
    let replies = replies.await.expect("no panic").expect("no error ends the stream");
    let expected =
        (0..REQUESTS).map(|number| (number.to_string(), if number.is_multiple_of(2) { "red" } else { "blue" }));
    for (reply, (id, label)) in replies.iter().zip(expected) {
        assert_eq!(outcome(reply), (id.as_str(), label));
    }
    assert_eq!(replies.len(), REQUESTS);
}

#[tokio::test]
async fn a_bad_request_of_a_stream_is_answered_in_its_place() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let named = |id: &str, request: ClassifyRequest| ClassifyRequest { id: id.into(), ..request };
    let requests = stream::iter([
        named("a", classify(&[&red_jpeg()])),
        named("b", classify(&[])),
        named("c", ClassifyRequest { model: "nobody".into(), ..classify(&[&red_jpeg()]) }),
        named("d", classify(&[&green_png()])),
    ]);
    let replies = vision(&engine).classify_stream(requests).await.expect("a stream").into_inner();
    let replies: Vec<_> = replies.try_collect().await.expect("no error ends the stream");
    let outcomes: Vec<_> = replies.iter().map(outcome).collect();
    assert_eq!(outcomes, [("a", "red"), ("b", "invalid_request"), ("c", "model_not_found"), ("d", "green")]);
}

#[tokio::test]
async fn a_streams_own_deadline_ends_it() {
    let (network, _batches) = Fake::new(Mood::Hold);
    let engine = engine(model("colors", network.clone(), 8), &limits());
    let mut request = Request::new(stream::iter([classify(&[&blue_png()])]).chain(stream::pending()));
    request.set_timeout(Duration::from_millis(5));
    let replies = vision(&engine).classify_stream(request).await.expect("a stream").into_inner();
    let status: Status = replies.try_collect::<Vec<_>>().await.expect_err("held");
    assert_eq!((status.code(), error_code(&status)), (Code::DeadlineExceeded, "deadline_exceeded"));
    network.set(Mood::Right);
}

#[tokio::test]
async fn boxes_are_found_in_streams() {
    let engine = engine(detector("boxes", Scripted(sees(&[([1.0, 1.0, 4.0, 5.0], 0.0, 0.9)]))), &limits());
    let request = DetectRequest { id: "x".into(), images: vec![blue_png().into()], ..DetectRequest::default() };
    let replies = vision(&engine).detect_stream(stream::iter([request])).await.expect("a stream").into_inner();
    let replies: Vec<_> = replies.try_collect().await.expect("no error ends the stream");
    let [reply] = replies.as_slice() else { panic!("one request, {} replies", replies.len()) };
    let text = format!("{:?}", reply.outcome);
    assert!(reply.id == "x" && text.contains("x1: 8.0"), "{text}");
}

#[tokio::test]
async fn calls_are_counted_by_method_model_and_status() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let mut client = vision(&engine);
    client.classify(classify(&[&blue_png()])).await.expect("answered");
    client.classify(classify(&[])).await.expect_err("no image");
    let requests = stream::iter([classify(&[&blue_png()])]);
    let replies = client.classify_stream(requests).await.expect("a stream").into_inner();
    replies.try_collect::<Vec<_>>().await.expect("answered");
    drop(client.classify_stream(stream::pending()).await.expect("a stream"));
    let metrics = get(&serving(&engine), "/metrics").await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    for (method, model, status) in [
        ("Classify", "colors", "OK"),
        ("Classify", "colors", "INVALID_ARGUMENT"),
        ("ClassifyStream", "colors", "OK"),
        ("ClassifyStream", "", "CANCELLED"),
    ] {
        let version = if model.is_empty() { "" } else { "1" };
        let counted = format!(
            "cenet_requests_total{{model=\"{model}\",protocol=\"grpc\",route=\"/cenet.v1.Vision/{method}\",\
             status=\"{status}\",version=\"{version}\"}} 1"
        );
        assert!(metrics.contains(&counted), "{counted} is missing in\n{metrics}");
    }
}
