//! What the tests of the request path share: a model with a network of the test's own, and a client without a socket.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

pub mod deployed;
pub mod documented;
pub mod fake;
pub mod grpc;
pub mod listening;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use cenet_serve::admission::Admission;
use cenet_serve::backend::{Backend, Signature, TensorInfo};
use cenet_serve::batch::{BatchAxis, BatchPolicy, Batcher};
use cenet_serve::config::{LimitOptions, ServeConfig};
use cenet_serve::error::Result;
use cenet_serve::infer::Engine;
use cenet_serve::manifest::{Manifest, Task};
use cenet_serve::model::{
    Canary, CeNodes, Health, Instances, LoadOptions, Model, ModelDirectory, Placement, Repository, Statistics,
};
use cenet_serve::request::{ImageResult, InferOptions, InferRequest, Terms};
use cenet_serve::serve::{AppState, app};
use cenet_serve::vision::preprocess::Preprocessor;
use clap::{Args, Command, FromArgMatches};
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{ArrayD, Axis};
use serde_json::Value;
use tower::ServiceExt;

pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Scores red, green and blue by how much of each a picture holds.
pub struct MeanColor;

impl Backend for MeanColor {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        let means = input.mean_axis(Axis(3)).and_then(|rows| rows.mean_axis(Axis(2)));
        Ok(vec![means.expect("pictures have pixels")])
    }
}

/// A network that does what a closure does.
pub struct Scripted<F>(pub F);

impl<F: FnMut(ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> + Send> Backend for Scripted<F> {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        (self.0)(input)
    }
}

/// A classifier of pictures' colours, one picture at a time.
pub fn model(name: &str, backend: impl Backend + 'static, queue_length: usize) -> Model {
    batching_model(name, vec![Box::new(backend)], BatchPolicy::SINGLE, queue_length)
}

/// A classifier of pictures' colours that several instances run.
pub fn batching_model(name: &str, instances: Vec<Box<dyn Backend>>, policy: BatchPolicy, queue_length: usize) -> Model {
    let head = "[head]\nkind = 'scores'\noutput = 'logits'\nactivation = 'softmax'";
    build(name, ("classify", head), (BatchAxis::First, policy), instances, queue_length)
}

/// A detector whose network gives decoded boxes in pixels of an 8x8 tensor: edges, labels and scores.
pub fn detector(name: &str, backend: impl Backend + 'static) -> Model {
    let head = "[head]\nkind = 'boxes'\nboxes = 'boxes'\nclasses = 'labels'\nscores = 'scores'";
    build(name, ("detect", head), (BatchAxis::None, BatchPolicy::SINGLE), vec![Box::new(backend)], 8)
}

/// The same with masks, on the boxes or, as `frame` says, on the tensor.
pub fn mask_detector(name: &str, frame: &str, backend: impl Backend + 'static) -> Model {
    let head = "[head]\nkind = 'boxes'\nboxes = 'boxes'\nclasses = 'labels'\nscores = 'scores'\nmasks = 'masks'";
    let head = format!("{head}\nmask_frame = '{frame}'");
    build(name, ("detect", &head), (BatchAxis::None, BatchPolicy::SINGLE), vec![Box::new(backend)], 8)
}

fn build(
    name: &str,
    (task, head): (&str, &str),
    (axis, batching): (BatchAxis, BatchPolicy),
    instances: Vec<Box<dyn Backend>>,
    queue_length: usize,
) -> Model {
    let manifest = Manifest::parse(&format!(
        r#"
        schema_version = 1
        task = "{task}"
        labels = "labels.txt"
        [preprocess]
        input = "input"
        size = [8, 8]
        resize = {{ mode = "stretch" }}
        mean = [0.0, 0.0, 0.0]
        std = [1.0, 1.0, 1.0]
        {head}
        "#
    ))
    .expect("a valid manifest");
    let signature = signature(&manifest);
    Model {
        head_outputs: (0..manifest.head.outputs().len()).collect(),
        directory: ModelDirectory {
            name: name.into(),
            version: 1,
            path: PathBuf::new(),
            preprocessor: Preprocessor::new(&manifest.preprocess),
            manifest,
            labels: ["red", "green", "blue"].map(String::from).to_vec(),
        },
        signature,
        golden: None,
        load_time: Duration::ZERO,
        instances: Instances { count: instances.len(), threads: 1, reason: "as the test has it".into() },
        placement: Placement::default(),
        batching,
        admission: Arc::new(Admission::in_model(name, queue_length)),
        canary: Canary::of_zeros(&[3, 8, 8]),
        health: Health::default(),
        statistics: Statistics::default(),
        metrics: Arc::default(),
        ce_nodes: CeNodes(vec![("native", 1), ("body", 0)]),
        batcher: Batcher::start(name, instances, axis, batching).expect("threads"),
    }
}

/// The network that a manifest of these tests is for: 8x8 pixels in; all that its head reads out, of any size.
fn signature(manifest: &Manifest) -> Signature {
    let tensor = |name: &str, shape: Vec<i64>| TensorInfo { name: name.into(), data_type: "f32".into(), shape };
    let outputs = manifest.head.outputs().into_iter().map(|name| tensor(name, vec![-1, -1]));
    Signature { inputs: vec![tensor("input", vec![-1, 3, 8, 8])], outputs: outputs.collect() }
}

pub fn limits() -> LimitOptions {
    LimitOptions {
        max_body_bytes: MAX_BODY_BYTES,
        max_image_pixels: 1_000_000,
        max_images_in_flight: 4,
        decode_threads: 1,
        ..LimitOptions::default()
    }
}

/// The model of this name that ships.
pub fn shipped(name: &str) -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).join("1");
    let model = Model::load(&path, &LoadOptions::default()).expect("the shipped model is good");
    let limits = LimitOptions { decode_threads: 1, ..LimitOptions::default() };
    Engine::new(Repository::of(model), &limits).expect("threads")
}

/// What the only model of `engine` for `task` says of the picture in `file`.
pub async fn look(engine: &Engine, task: Task, file: &Path, options: InferOptions) -> ImageResult {
    let images = vec![Bytes::from(std::fs::read(file).expect("the picture is there"))];
    let request = InferRequest { task, model: None, version: None, images, options, terms: Terms::at_leisure() };
    let mut response = engine.infer(request).await.expect("the request is good");
    response.results.remove(0).expect("the picture is good")
}

/// The whole service over one model.
pub fn service(model: Model) -> Router {
    serving(&engine(model, &limits()))
}

pub fn engine(model: Model, limits: &LimitOptions) -> Arc<Engine> {
    Arc::new(Engine::new(Repository::of(model), limits).expect("threads"))
}

pub fn serving(engine: &Arc<Engine>) -> Router {
    app(&AppState::new(Arc::clone(engine), &limits()))
}

/// What the program would take from the command line.
pub fn config(arguments: &[&str]) -> ServeConfig {
    let arguments = ["serve"].iter().chain(arguments);
    let matches = ServeConfig::augment_args(Command::new("serve")).get_matches_from(arguments);
    ServeConfig::from_arg_matches(&matches).expect("valid arguments")
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn content_type(&self) -> &str {
        self.headers["content-type"].to_str().expect("text")
    }

    /// Labels and scores, without timings.
    pub fn predictions(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()["predictions"].clone()
    }
}

/// Sends a request, and holds the answer against the document.
pub async fn send(service: &Router, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = service.clone().oneshot(request).await.expect("the service always answers");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body is in memory").to_vec();
    let reply = Reply { status: parts.status, headers: parts.headers, body };
    let content_type = reply.headers.get("content-type").map_or("", |value| value.to_str().expect("text"));
    documented::check(&method, &path, reply.status.as_u16(), content_type, &reply.body).await;
    reply
}

pub async fn get(service: &Router, path: &str) -> Reply {
    send(service, Request::get(path).body(Body::empty()).expect("a request")).await
}

pub async fn post(service: &Router, path: &str, content_type: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post(path).header("content-type", content_type).body(body.into());
    send(service, request.expect("a request")).await
}

/// A picture of one colour with some texture, so that a JPEG of it has scan data to lose.
pub fn picture(color: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| Rgb(color.map(|value| value.saturating_sub(((x * 7 + y * 13) % 32) as u8))))
}

pub fn encode(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

pub fn red_jpeg() -> Vec<u8> {
    encode(&picture([250, 40, 40]), ImageFormat::Jpeg)
}

pub fn green_png() -> Vec<u8> {
    encode(&picture([40, 250, 40]), ImageFormat::Png)
}

pub fn blue_png() -> Vec<u8> {
    encode(&picture([40, 40, 250]), ImageFormat::Png)
}

/// A form with one file a part.
pub fn form(files: &[&[u8]]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let head = format!(
            "--boundary\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{index}.jpg\"\r\n\
             content-type: image/jpeg\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--boundary--\r\n");
    ("multipart/form-data; boundary=boundary".into(), body)
}

/// Resident memory of this process, in KiB.
pub fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}
