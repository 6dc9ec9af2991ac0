//! What surrounds the gRPC services: health, reflection, one port for both faces, silent streams, and the end.

mod support;

use axum::body::Body;
use axum::http::Request;
use cenet_serve::batch::BatchPolicy;
use cenet_serve::model::Repository;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use cenet_serve::serve::grpc::proto::vision::{ClassifyRequest, classify_reply};
use futures_util::{StreamExt, TryStreamExt, stream};
use support::fake::{Fake, Mood};
use support::grpc::{Running, best, classify, error_code, grpc_service};
use support::{MeanColor, batching_model, blue_png, engine, limits, model, red_jpeg, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_follows_readiness() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let mut client = HealthClient::new(grpc_service(&engine));
    let mut watched = client.watch(about("")).await.expect("a stream").into_inner();
    let mut strange = client.watch(about("nobody")).await.expect("a stream").into_inner();
    assert_eq!(watched.message().await.expect("told").expect("told").status(), ServingStatus::Serving);
    assert_eq!(strange.message().await.expect("told").expect("told").status(), ServingStatus::ServiceUnknown);
    for service in ["", "cenet.v1.Vision", "inference.GRPCInferenceService"] {
        let answer = client.check(about(service)).await.expect("told").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    assert_eq!(client.check(about("nobody")).await.expect_err("unknown").code(), Code::NotFound);
    engine.shutdown.begin();
    let answer = client.check(about("cenet.v1.Vision")).await.expect("told").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    assert_eq!(watched.message().await.expect("told").expect("told").status(), ServingStatus::NotServing);
    engine.shutdown.drain();
    assert_eq!(watched.message().await.expect_err("the end").code(), Code::Unavailable);
}

#[tokio::test]
async fn reflection_lists_every_service_and_describes_it() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let mut client = ServerReflectionClient::new(grpc_service(&engine));
    let ask = |request: MessageRequest| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("cenet.v1.Vision.Detect".into())),
    ]);
    let answers = client.server_reflection_info(requests).await.expect("a stream").into_inner();
    let answers: Vec<_> = answers.try_collect().await.expect("answered");
    let Some(MessageResponse::ListServicesResponse(list)) = &answers[0].message_response else { panic!("{answers:?}") };
    let mut names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "cenet.v1.Vision",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "inference.GRPCInferenceService",
    ];
    assert_eq!(names, expected);
    let described = answers[1].message_response.as_ref().expect("an answer");
    assert!(
        matches!(described, MessageResponse::FileDescriptorResponse(files) if !files.file_descriptor_proto.is_empty())
    );
}

#[tokio::test]
async fn a_method_that_nobody_serves_is_unimplemented_and_not_counted_by_name() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let request = Request::post("/cenet.v1.Vision/Guess").header("content-type", "application/grpc");
    let reply = send(&grpc_service(&engine), request.body(Body::empty()).expect("a request")).await;
    assert_eq!((reply.status.as_u16(), &reply.headers["grpc-status"]), (200, &"12".parse().expect("a header")));
    let metrics = engine.gather().to_text().expect("text");
    assert!(metrics.contains(r#"protocol="grpc",route="",status="UNIMPLEMENTED",version=""} 1"#), "{metrics}");
}

#[tokio::test]
async fn both_faces_share_one_port() {
    let server = Running::start(Repository::of(model("colors", MeanColor, 64)), &["--single-port"]).await;
    let answer = VisionClient::new(server.channel().await).classify(classify(&[&blue_png()])).await.expect("answered");
    assert_eq!(best(answer.get_ref()), ["blue"]);
    let body = red_jpeg();
    let head =
        format!("POST /classify HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut connection = TcpStream::connect(server.http).await.expect("it listens");
    connection.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await.expect("an orderly end");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"red\""), "{reply}");
    server.signals.send(()).expect("the server runs");
    server.ended.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn a_silent_stream_outlives_a_silent_connection() {
    let quick = ["--request-timeout-ms", "1", "--idle-timeout-ms", "1"];
    let server = Running::start(Repository::of(model("colors", MeanColor, 64)), &quick).await;
    let (requests, mut received) = unbounded_channel();
    let mut client = VisionClient::new(server.channel().await);
    let requests_on = stream::poll_fn(move |context| received.poll_recv(context));
    let mut replies = client.classify_stream(requests_on).await.expect("a stream").into_inner();
    let mut silent = TcpStream::connect(server.grpc).await.expect("it listens");
    assert_eq!(silent.read(&mut [0]).await.expect("hung up"), 0, "who never says a word is hung up on");
    requests
        .send(ClassifyRequest { model: "nobody".into(), ..ClassifyRequest::default() })
        .expect("the stream is open");
    let reply = replies.message().await.expect("the stream is open").expect("answered");
    assert!(matches!(reply.outcome, Some(classify_reply::Outcome::Error(error)) if error.code == "model_not_found"));
    server.ended.abort();
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_ends_streams() {
    let (network, mut batches) = Fake::new(Mood::Hold);
    let colors = batching_model("colors", network.instances(2), BatchPolicy::SINGLE, 64);
    let server = Running::start(Repository::of(colors), &[]).await;
    let mut client = VisionClient::new(server.channel().await);
    let mut other = client.clone();
    let open = stream::iter([classify(&[&red_jpeg()])]).chain(stream::pending());
    let mut replies = client.classify_stream(open).await.expect("a stream").into_inner();
    batches.recv().await.expect("the stream's request is in flight");
    let call = tokio::spawn(async move { other.classify(classify(&[&blue_png()])).await });
    batches.recv().await.expect("the call is in flight");
    server.signals.send(()).expect("the server runs");
    network.set(Mood::Right);
    let reply = replies.message().await.expect("answered").expect("answered");
    assert!(matches!(reply.outcome, Some(classify_reply::Outcome::Response(answer)) if best(&answer) == ["red"]));
    let status = replies.message().await.expect_err("nothing new is taken");
    assert_eq!((status.code(), error_code(&status)), (Code::Unavailable, "unavailable"));
    assert_eq!(best(call.await.expect("no panic").expect("answered").get_ref()), ["blue"]);
    server.ended.await.expect("no panic").expect("an orderly end");
    assert!(TcpStream::connect(server.grpc).await.is_err(), "the door is shut");
}

#[tokio::test]
async fn what_cannot_be_finished_is_told_so() {
    let (network, mut batches) = Fake::new(Mood::Hold);
    let models = Repository::of(model("colors", network.clone(), 64));
    let server = Running::start(models, &["--drain-timeout-s", "0"]).await;
    let mut client = VisionClient::new(server.channel().await);
    let call = tokio::spawn(async move { client.classify(classify(&[&blue_png()])).await });
    batches.recv().await.expect("the network is busy");
    server.signals.send(()).expect("the server runs");
    let status = call.await.expect("no panic").expect_err("cut off");
    assert_eq!((status.code(), error_code(&status)), (Code::Unavailable, "unavailable"));
    assert_eq!(status.metadata().get("retry-after").map(MetadataValue::as_bytes), Some(b"1".as_slice()));
    server.ended.await.expect("no panic").expect("an orderly end");
    network.set(Mood::Right);
}
