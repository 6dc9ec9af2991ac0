//! The program where no GPU is: it goes on with the CPU, says so once, and answers right; or, told to be strict, doesn't start. With the
//! CPU's library of ONNX Runtime, and with the GPU's where `make test-gpu-fallback` has fetched it.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use cenet_serve::infer::Engine;
use cenet_serve::model::{Repository, RepositoryOptions};
use serde_json::Value;
use support::{config, get, limits, post, serving};

const MODEL: &str = "ce_resnet_caltech101";

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn options(arguments: &[&str]) -> RepositoryOptions {
    let root = checkout().join("models");
    let root = root.to_str().expect("text");
    let common = ["--model-repository", root, "--load-model", MODEL];
    config(&[&common[..], arguments].concat()).models.repository_options()
}

#[tokio::test]
async fn what_runs_a_model_is_told_everywhere() {
    let repository = Repository::open(options(&["--providers", "tensorrt,cuda,cpu"])).expect("readable");
    let service = serving(&Arc::new(Engine::new(repository, &limits()).expect("threads")));

    let listed = get(&service, "/v1/models").await.json();
    let model = &listed["models"][0];
    assert_eq!(model["state"], "ready", "{listed}");
    assert_eq!(model["provider"], "cpu");
    assert!(model["provider_nodes"]["cpu"].as_u64().is_some_and(|nodes| nodes > 10), "{listed}");
    let refused: Vec<_> = model["providers_refused"].as_array().expect("two").iter().collect();
    assert_eq!(refused.len(), 2, "{listed}");
    assert!(refused.iter().all(|one| one["reason"].as_str().is_some_and(|reason| reason.len() > 20)), "{listed}");

    let metrics = String::from_utf8(get(&service, "/metrics").await.body).expect("text");
    let expected = format!("cenet_model_info{{model=\"{MODEL}\",provider=\"cpu\",task=\"classify\",version=\"1\"}} 1");
    assert!(metrics.lines().any(|line| line == expected), "{metrics}");
    let group = get(&service, &format!("/v2/models/{MODEL}/config")).await.json()["instance_group"][0].clone();
    assert_eq!(group["kind"], "KIND_CPU");
    assert_eq!(group["gpus"], Value::Array(Vec::new()));

    let picture = std::fs::read(checkout().join("models").join(MODEL).join("1/golden.png")).expect("it ships");
    let with_fallback = post(&service, "/classify", "image/png", picture.clone()).await.predictions();
    let plain = Repository::open(options(&[])).expect("readable");
    let plain = serving(&Arc::new(Engine::new(plain, &limits()).expect("threads")));
    assert_eq!(with_fallback, post(&plain, "/classify", "image/png", picture).await.predictions());
}

#[test]
fn a_strict_model_is_refused_for_its_provider() {
    let repository = Repository::open(options(&["--providers", "cuda,cpu", "--strict-providers"])).expect("readable");
    let catalog = repository.catalog();
    assert_eq!(catalog.models().count(), 0);
    let refusal = catalog.entry(MODEL, 1).and_then(|entry| entry.refusal.clone()).expect("it was tried");
    assert!(refusal.contains("provider cuda can't be used: "), "{refusal}");
}

/// ONNX Runtime's libraries that the program is started with: the CPU's as everywhere, and the GPU's.
fn libraries() -> Vec<Option<PathBuf>> {
    let gpu = std::env::var_os("CENET_GPU_RUNTIME").map(|folder| Path::new(&folder).join("libonnxruntime.so"));
    if gpu.is_none() {
        eprintln!("the CPU's library alone: CENET_GPU_RUNTIME names no folder with onnxruntime-gpu's");
    }
    [None].into_iter().chain(gpu.map(Some)).collect()
}

fn program(library: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cenet-serve"));
    command.current_dir(checkout()).args(arguments);
    command.args(["--load-model", MODEL, "--http-addr", "127.0.0.1:0", "--single-port", "--log-format", "json"]);
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", library);
    }
    command
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_goes_on_with_the_cpu_and_says_why_once() {
    for library in libraries() {
        let mut command = program(library.as_deref(), &["serve", "--providers", "cuda,cpu"]);
        let mut server = Server(command.stderr(Stdio::piped()).spawn().expect("the program starts"));
        let log = BufReader::new(server.0.stderr.take().expect("piped"));
        let events = log.lines().map(|line| {
            let line = line.expect("readable");
            println!("{line}");
            serde_json::from_str::<Value>(&line).expect("a JSON line")
        });
        let mut complaints = Vec::new();
        let mut ready = Value::Null;
        for event in events {
            if matches!(event["level"].as_str(), Some("WARN" | "ERROR")) {
                complaints.push(event.clone());
            }
            if event["message"] == "model is ready" {
                ready = event.clone();
            }
            if event["http_addr"].is_string() {
                break;
            }
        }
        assert_eq!(ready["provider"], "cpu", "reproduced its golden pair on the CPU: {complaints:?}");
        let [complaint] = complaints.as_slice() else { panic!("one warning is enough: {complaints:?}") };
        assert_eq!((&complaint["provider"], &complaint["next"]), (&"cuda".into(), &"cpu".into()), "{complaint}");
        assert!(complaint["reason"].as_str().is_some_and(|reason| reason.len() < 200), "{complaint}");
    }
}

#[test]
fn the_program_told_to_be_strict_does_not_start() {
    for library in libraries() {
        let arguments = ["serve", "--providers", "tensorrt,cuda,cpu", "--strict-providers"];
        let Output { status, stderr, .. } = program(library.as_deref(), &arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&stderr);
        println!("{said}");
        assert_eq!(status.code(), Some(1), "{said}");
        let last = said.lines().last().expect("a message");
        assert!(last.starts_with("error: ") && last.contains("provider tensorrt can't be used: "), "{said}");
    }
}
