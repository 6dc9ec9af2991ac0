//! A real receiver of OpenTelemetry's protocol is told of each traced request, whole and connected, and of no other.

mod support;

use std::time::Duration;

use axum::http::HeaderMap;
use cenet_serve::batch::BatchPolicy;
use cenet_serve::model::Repository;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use support::fake::{Fake, Mood};
use support::grpc::{Running, best, classify};
use support::{MeanColor, batching_model, blue_png, form, model, red_jpeg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const STAGES: [&str; 5] = ["decode", "preprocess", "queue", "inference", "postprocess"];

/// Keeps what it is sent.
struct Receiver(UnboundedSender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            self.0.send(spans).map_err(|_| Status::unavailable("the test is over"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A server that sends its traces to a receiver.
struct Traced {
    server: Running,
    received: UnboundedReceiver<ResourceSpans>,
}

impl Traced {
    async fn start(models: Repository, arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, received) = unbounded_channel();
        let receiver = Server::builder().add_service(TraceServiceServer::new(Receiver(sender)));
        tokio::spawn(receiver.serve_with_incoming(TcpIncoming::from(listener)));
        let server = Running::start(models, &[&["--otlp-endpoint", &endpoint], arguments].concat()).await;
        Self { server, received }
    }

    /// Stops the server, which sends the last of its spans.
    async fn spans(mut self) -> (Vec<Span>, Option<Resource>) {
        stop(self.server).await;
        let (mut spans, mut resource) = (Vec::new(), None);
        while let Ok(received) = self.received.try_recv() {
            resource = received.resource;
            spans.extend(received.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        (spans, resource)
    }
}

async fn stop(server: Running) {
    server.signals.send(()).expect("the server runs");
    server.ended.await.expect("no panic").expect("an orderly end");
}

/// Sends a request; the head of the answer and the rest.
async fn ask(server: &Running, head: &str, body: &[u8]) -> (String, String) {
    let length = body.len();
    let head = format!("{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let mut connection = TcpStream::connect(server.http).await.expect("it listens");
    connection.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an orderly end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

async fn post(server: &Running, head: &str, body: &[u8]) -> (String, String) {
    ask(server, &format!("POST {head}"), body).await
}

/// A header of the head of an answer.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    match named(spans, name)[..] {
        [span] => span,
        _ => panic!("not one {name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>()),
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?} in {attributes:?}"),
    }
}

/// Checks that one picture's stages are told of, one after the other, below `request`, and that its batch is linked both ways.
fn check_picture(spans: &[Span], request: &Span) {
    let picture = only(spans, "picture");
    assert_eq!((&picture.trace_id, &picture.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(attribute(&picture.attributes, "cenet.model.name"), "colors");
    let mut clock = request.start_time_unix_nano;
    for stage in STAGES {
        let span = only(spans, stage);
        assert_eq!((&span.trace_id, &span.parent_span_id), (&picture.trace_id, &picture.span_id), "{stage}");
        assert!(span.start_time_unix_nano >= clock, "{stage} begins when the stage before has ended");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{stage} ends after it has begun");
        clock = span.end_time_unix_nano;
    }
    assert!(picture.end_time_unix_nano >= clock && request.end_time_unix_nano >= picture.end_time_unix_nano);
    let (batch, inference) = (only(spans, "batch"), only(spans, "inference"));
    assert_eq!(attribute(&batch.attributes, "cenet.batch.size"), "1");
    assert_eq!((&batch.links[0].trace_id, &batch.links[0].span_id), (&picture.trace_id, &picture.span_id));
    assert_eq!((&inference.links[0].trace_id, &inference.links[0].span_id), (&batch.trace_id, &batch.span_id));
}

#[tokio::test]
async fn a_request_over_http_is_one_trace_with_its_callers() {
    let traced = Traced::start(Repository::of(model("colors", MeanColor, 8)), &["--trace-sampling", "0"]).await;
    let request =
        format!("/classify HTTP/1.1\r\ntraceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: vendor=1\r\nx-request-id: 7");
    let (head, body) = post(&traced.server, &request, &blue_png()).await;
    assert!(head.starts_with("HTTP/1.1 200") && body.contains("\"blue\""), "{head}{body}");
    let (spans, resource) = traced.spans().await;
    let request = only(&spans, "POST /classify");
    assert_eq!(header(&head, "traceparent"), format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    assert_eq!(header(&head, "x-request-id"), "7");
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.into(), CALLER.into()));
    assert_eq!((request.kind(), request.trace_state.as_str()), (SpanKind::Server, "vendor=1"));
    let expected = [
        ("http.request.method", "POST"),
        ("http.route", "/classify"),
        ("http.response.status_code", "200"),
        ("url.path", "/classify"),
        ("url.scheme", "http"),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&request.attributes, key), value, "{key}");
    }
    check_picture(&spans, request);
    assert_eq!(spans.len(), 8, "nothing else is told");
    let resource = resource.expect("who sends").attributes;
    assert_eq!(attribute(&resource, "service.name"), "cenet-serve");
    assert_eq!(attribute(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(attribute(&resource, "service.instance.id").len(), 36);
}

#[tokio::test]
async fn a_call_over_grpc_is_one_trace_with_its_callers() {
    let traced = Traced::start(Repository::of(model("colors", MeanColor, 8)), &[]).await;
    let mut request = Request::new(classify(&[&red_jpeg()]));
    let caller = format!("00-{TRACE}-{CALLER}-01");
    request.metadata_mut().insert("traceparent", caller.parse().expect("a header"));
    let answer = VisionClient::new(traced.server.channel().await).classify(request).await.expect("answered");
    assert_eq!(best(answer.get_ref()), ["red"]);
    let head: &HeaderMap = answer.metadata().as_ref();
    let (place, id) = (head["traceparent"].clone(), head["x-request-id"].clone());
    let (spans, _) = traced.spans().await;
    let request = only(&spans, "cenet.v1.Vision/Classify");
    assert_eq!(place, format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    assert_eq!(id, TRACE);
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.into(), CALLER.into()));
    assert_eq!(request.kind(), SpanKind::Server);
    let expected =
        [("rpc.system.name", "grpc"), ("rpc.method", "cenet.v1.Vision/Classify"), ("rpc.response.status_code", "OK")];
    for (key, value) in expected {
        assert_eq!(attribute(&request.attributes, key), value, "{key}");
    }
    check_picture(&spans, request);
}

#[tokio::test]
async fn a_batch_is_linked_to_each_of_its_pictures() {
    let policy = BatchPolicy { max_size: 3, max_delay: Duration::from_secs(3600) };
    let colors = batching_model("colors", vec![Box::new(MeanColor)], policy, 8);
    let traced = Traced::start(Repository::of(colors), &[]).await;
    let (form_type, body) = form(&[&red_jpeg(), &blue_png(), &blue_png()]);
    let request = format!("/classify HTTP/1.1\r\ncontent-type: {form_type}");
    let (head, _) = post(&traced.server, &request, &body).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (spans, _) = traced.spans().await;
    let (batch, request) = (only(&spans, "batch"), only(&spans, "POST /classify"));
    assert_eq!(attribute(&batch.attributes, "cenet.batch.size"), "3");
    let mut linked: Vec<_> = batch.links.iter().map(|link| &link.span_id).collect();
    let pictures = named(&spans, "picture");
    assert!(pictures.iter().all(|picture| picture.parent_span_id == request.span_id));
    let mut members: Vec<_> = pictures.iter().map(|picture| &picture.span_id).collect();
    linked.sort();
    members.sort();
    assert_eq!(linked.len(), 3);
    assert_eq!(linked, members);
    let inferences = named(&spans, "inference");
    assert!(inferences.iter().all(|inference| inference.links[0].span_id == batch.span_id));
    assert_eq!(inferences.len(), 3);
}

#[tokio::test]
async fn who_is_at_fault_is_told_apart() {
    let (network, _batches) = Fake::new(Mood::Fail);
    let traced = Traced::start(Repository::of(model("colors", network, 8)), &[]).await;
    let (head, _) = post(&traced.server, "/classify HTTP/1.1", b"no picture").await;
    assert!(head.starts_with("HTTP/1.1 415"), "{head}");
    let (head, _) = post(&traced.server, "/classify HTTP/1.1", &blue_png()).await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    let (spans, _) = traced.spans().await;
    let failed = |span: &&Span| span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    let told: Vec<_> = spans.iter().filter(failed).map(|span| span.name.as_str()).collect();
    assert_eq!(told, ["batch", "inference", "picture", "POST /classify"], "the caller's own fault is none of these");
    let errors: Vec<_> = named(&spans, "picture")
        .iter()
        .chain(&named(&spans, "POST /classify"))
        .map(|span| span.attributes.iter().any(|one| one.key == "error.type"))
        .collect();
    assert_eq!(errors, [true, true, false, true]);
    let decode = named(&spans, "decode")[0];
    assert_eq!(attribute(&decode.attributes, "error.type"), "unsupported_image");
}

#[tokio::test]
async fn what_is_not_sampled_is_not_sent_but_has_its_number() {
    let traced = Traced::start(Repository::of(model("colors", MeanColor, 8)), &["--trace-sampling", "0"]).await;
    let (head, _) = post(&traced.server, "/classify HTTP/1.1", &blue_png()).await;
    let place = header(&head, "traceparent");
    assert!(place.len() == 55 && place.ends_with("-00"), "{place}");
    assert_eq!(header(&head, "x-request-id"), &place[3..35]);
    let (spans, _) = traced.spans().await;
    assert!(spans.is_empty(), "{spans:?}");
}

#[tokio::test]
async fn a_caller_who_does_not_trace_is_not_traced_and_a_probe_is_not_either() {
    let traced = Traced::start(Repository::of(model("colors", MeanColor, 8)), &[]).await;
    let request = format!("/classify HTTP/1.1\r\ntraceparent: 00-{TRACE}-{CALLER}-00");
    let (head, _) = post(&traced.server, &request, &blue_png()).await;
    assert!(header(&head, "traceparent").starts_with(&format!("00-{TRACE}-")), "{head}");
    let (head, _) = ask(&traced.server, "GET /healthz HTTP/1.1", b"").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (spans, _) = traced.spans().await;
    assert!(spans.is_empty(), "{spans:?}");
}

#[tokio::test]
async fn without_a_receiver_it_serves_on_and_stops_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let models = Repository::of(model("colors", MeanColor, 8));
    let server = Running::start(models, &["--otlp-endpoint", &endpoint]).await;
    for _ in 0..20 {
        let (head, body) = post(&server, "/classify HTTP/1.1", &blue_png()).await;
        assert!(head.starts_with("HTTP/1.1 200") && body.contains("\"blue\""), "{head}{body}");
    }
    tokio::time::timeout(Duration::from_secs(30), stop(server)).await.expect("in time");
}
