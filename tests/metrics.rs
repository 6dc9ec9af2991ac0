//! `/metrics`: what each metric is called and is, that the list of them and the documentation say the same, and what they count.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use cenet_serve::config::LimitOptions;
use cenet_serve::infer::Engine;
use cenet_serve::metrics::families::ALL;
use cenet_serve::metrics::{Family, Kind};
use cenet_serve::model::{Repository, RepositoryOptions};
use futures_util::poll;
use prometheus::proto::LabelPair;
use support::fake::{Fake, Mood};
use support::grpc::{classify, grpc_service, vision};
use support::{MeanColor, batching_model, blue_png, engine, get, limits, model, post, send, serving};

/// Every metric with a value: pictures that are answered, refused and broken, over both protocols.
async fn exercised() -> Arc<Engine> {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let service = serving(&engine);
    post(&service, "/classify", "image/png", blue_png()).await.predictions();
    post(&service, "/classify", "image/png", "no picture").await;
    vision(&engine).classify(classify(&[&blue_png()])).await.expect("answered");
    let model = engine.models.catalog().models().next().map(Arc::clone).expect("a model");
    model.metrics.record_canary(&model.ask_canary().await);
    model.health.set_failing(Some("the test says so".into()));
    assert_eq!(post(&service, "/classify", "image/png", blue_png()).await.status, 503);
    model.health.set_failing(None);
    engine
}

/// The value of the one series of `name` that has these labels, and perhaps others.
fn value(engine: &Engine, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let text = engine.gather().to_text().expect("text");
    let mut lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let line = lines.find(|line| wanted.iter().all(|pair| line.contains(pair)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn what_is_told_is_what_the_list_says() {
    let gathered = exercised().await.gather();
    let listed: BTreeMap<_, _> = ALL.iter().map(|family| (family.name, family)).collect();
    assert_eq!(listed.len(), ALL.len(), "each name once");
    let mut told = BTreeSet::new();
    for family in gathered.families() {
        let Some(expected) = listed.get(family.name()) else { panic!("{} isn't listed", family.name()) };
        told.insert(expected.name);
        assert_eq!(Kind::of(family.get_field_type()), Some(expected.kind), "{}", expected.name);
        assert_eq!(family.help(), expected.help, "{}", expected.name);
        for metric in family.get_metric() {
            let labels: BTreeSet<_> = metric.get_label().iter().map(LabelPair::name).collect();
            assert_eq!(labels, expected.labels.iter().copied().collect(), "{}", expected.name);
        }
    }
    let missing: Vec<_> = listed.keys().filter(|name| !told.contains(*name)).collect();
    assert!(missing.is_empty(), "listed, but never told: {missing:?}");
}

#[tokio::test]
async fn promtool_finds_no_fault() {
    let text = exercised().await.gather().to_text().expect("text");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("passed over: there is no promtool; Debian has it in the package prometheus");
        return;
    };
    promtool.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let checked = promtool.wait_with_output().expect("it ends");
    let said = [checked.stdout, checked.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

/// A row of the documentation's table: `| name | kind | labels | meaning |`.
fn row(line: &str) -> Option<[String; 4]> {
    let cells: Vec<_> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
    let [name, kind, labels, meaning] = cells.as_slice() else { return None };
    Some([name.trim_end_matches('`'), kind, labels, meaning].map(str::to_owned))
}

fn documented(family: &Family) -> [String; 4] {
    let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    [family.name.into(), family.kind.name().into(), labels.join(", "), family.help.into()]
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let rows: BTreeSet<_> = text.lines().filter_map(row).filter(|row| row[0].contains('_')).collect();
    let listed: BTreeSet<_> = ALL.iter().map(documented).collect();
    let missing: Vec<_> = listed.difference(&rows).collect();
    let strange: Vec<_> = rows.difference(&listed).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing: {missing:#?}\nstrange: {strange:#?}");
}

#[tokio::test]
async fn stages_that_a_tensor_does_not_pass_are_not_counted() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    let service = serving(&engine);
    let zeros = vec![0; 192];
    let input = serde_json::json!({ "name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": zeros });
    let body = serde_json::json!({ "inputs": [input] }).to_string();
    let reply = post(&service, "/v2/models/colors/infer", "application/json", body).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let count = |stage| value(&engine, "cenet_stage_duration_seconds_count", &[("stage", stage)]);
    assert_eq!([count("decode"), count("queue"), count("inference")], [Some(0.0), Some(1.0), Some(1.0)]);
    assert_eq!(value(&engine, "cenet_batch_size_sum", &[("model", "colors")]), Some(1.0));
    let answered = [("route", "/v2/models/{model}/infer"), ("model", "colors"), ("status", "200")];
    assert_eq!(value(&engine, "cenet_requests_total", &answered), Some(1.0));
}

#[tokio::test]
async fn what_callers_make_up_is_no_label() {
    let engine = engine(model("colors", MeanColor, 8), &limits());
    for service in [serving(&engine), grpc_service(&engine)] {
        for (method, path) in [("INVENTED", "/classify"), ("GET", "/invented"), ("POST", "/v2/models/invented/infer")] {
            let request = Request::builder().method(method).uri(path).header("content-type", "application/grpc");
            send(&service, request.body(Body::from("invented")).expect("a request")).await;
        }
    }
    let text = engine.gather().to_text().expect("text");
    assert!(!text.to_lowercase().contains("invented"), "{text}");
    let other = [("http_request_method", "_OTHER"), ("http_route", "/classify"), ("http_response_status_code", "405")];
    assert_eq!(value(&engine, "http_server_request_duration_seconds_count", &other), Some(1.0));
    let unknown = [("rpc_method", "_OTHER"), ("rpc_response_status_code", "UNIMPLEMENTED")];
    assert_eq!(value(&engine, "rpc_server_call_duration_seconds_count", &unknown), Some(3.0));
}

#[tokio::test]
async fn each_reason_to_turn_away_is_counted_for_itself() {
    let (held, mut batches) = Fake::new(Mood::Hold);
    let policy = cenet_serve::batch::BatchPolicy::SINGLE;
    let limits = LimitOptions { max_images_in_flight: 3, memory_budget_mib: 4, ..limits() };
    let engine = engine(batching_model("colors", held.instances(1), policy, 2), &limits);
    let service = serving(&engine);
    let count = |reason, model| value(&engine, "cenet_rejections_total", &[("reason", reason), ("model", model)]);
    let ask = || post(&service, "/classify", "image/png", blue_png());
    let hurried = || {
        let request = Request::post("/classify").header("x-request-timeout-ms", "20").body(Body::from(blue_png()));
        send(&service, request.expect("a request"))
    };

    assert_eq!(hurried().await.status, 504);
    assert_eq!(count("deadline", "colors"), Some(1.0));
    let mut first = std::pin::pin!(ask());
    let mut second = std::pin::pin!(ask());
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    batches.recv().await.expect("the network has the first");
    assert_eq!(ask().await.status, 429);
    assert_eq!(count("queue_full", "colors"), Some(1.0));
    assert_eq!(value(&engine, "cenet_model_images_in_flight", &[]), Some(2.0));
    assert_eq!(value(&engine, "http_server_active_requests", &[("http_request_method", "POST")]), Some(2.0));

    let hog = engine.take_memory(7 << 19).expect("there is room");
    assert_eq!(ask().await.status, 429);
    assert_eq!(count("memory", ""), Some(1.0));
    assert!(value(&engine, "cenet_memory_used_bytes", &[]).is_some_and(|bytes| bytes >= f64::from(7 << 19)));
    drop(hog);

    held.set(Mood::Right);
    assert_eq!([first.await.status, second.await.status], [200, 200]);
    let model = engine.models.catalog().models().next().map(Arc::clone).expect("a model");
    model.health.set_failing(Some("the test says so".into()));
    assert_eq!(ask().await.status, 503);
    assert_eq!(count("not_ready", "colors"), Some(1.0));
    assert_eq!(value(&engine, "cenet_model_state", &[("state", "failing")]), Some(1.0));
    assert_eq!(value(&engine, "cenet_ready", &[]), Some(0.0));
    model.health.set_failing(None);

    held.set(Mood::Hold);
    let mut cut = std::pin::pin!(ask());
    assert!(poll!(&mut cut).is_pending());
    engine.shutdown.cut();
    assert_eq!(cut.await.status, 503);
    assert_eq!(count("draining", "colors"), Some(1.0));
    held.set(Mood::Right);
}

#[tokio::test]
async fn a_server_that_is_full_says_so() {
    let (held, _batches) = Fake::new(Mood::Hold);
    let policy = cenet_serve::batch::BatchPolicy::SINGLE;
    let limits = LimitOptions { max_images_in_flight: 1, ..limits() };
    let engine = engine(batching_model("colors", held.instances(1), policy, 8), &limits);
    let service = serving(&engine);
    let mut first = std::pin::pin!(post(&service, "/classify", "image/png", blue_png()));
    assert!(poll!(&mut first).is_pending());
    assert_eq!(post(&service, "/classify", "image/png", blue_png()).await.status, 429);
    assert_eq!(value(&engine, "cenet_rejections_total", &[("reason", "server_full")]), Some(1.0));
    assert_eq!(
        [1.0; 2].map(Some),
        ["cenet_images_in_flight", "cenet_images_limit"].map(|name| value(&engine, name, &[]))
    );
    held.set(Mood::Right);
    assert_eq!(first.await.status, 200);
}

#[tokio::test]
async fn a_model_that_is_loaded_anew_counts_on_and_one_that_is_gone_is_not_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let options = RepositoryOptions { root, first: vec!["tiny_ce".into()], ..RepositoryOptions::default() };
    let engine = Arc::new(Engine::new(Repository::open(options).expect("a folder"), &limits()).expect("threads"));
    let service = serving(&engine);
    let ask = async || post(&service, "/classify?model=tiny_ce", "image/png", blue_png()).await.status;
    let answered = || value(&engine, "cenet_images_total", &[("model", "tiny_ce"), ("outcome", "ok")]);
    assert_eq!((ask().await.as_u16(), answered()), (200, Some(1.0)));
    let models = Arc::clone(&engine.models);
    tokio::task::spawn_blocking(move || models.load("tiny_ce", None)).await.expect("no panic").expect("it is good");
    assert_eq!((ask().await.as_u16(), answered()), (200, Some(2.0)));
    assert!(value(&engine, "cenet_ce_nodes", &[("kernel", "blocked")]).is_some_and(|nodes| nodes > 0.0));
    assert_eq!(value(&engine, "cenet_ce_nodes", &[("kernel", "body")]), Some(0.0));
    assert_eq!(value(&engine, "cenet_model_info", &[("provider", "cpu"), ("task", "classify")]), Some(1.0));
    assert!(value(&engine, "cenet_model_load_duration_seconds", &[]).is_some_and(|seconds| seconds > 0.0));
    engine.models.unload("tiny_ce", None);
    let text = engine.gather().to_text().expect("text");
    assert!(!text.contains("tiny_ce"), "{text}");
}

#[tokio::test]
async fn what_is_not_to_be_counted_is_not() {
    let mut silent = Engine::new(Repository::of(model("colors", MeanColor, 8)), &limits()).expect("threads");
    silent.counts = false;
    let silent = Arc::new(silent);
    let service = serving(&silent);
    post(&service, "/classify", "image/png", blue_png()).await.predictions();
    assert_eq!(get(&service, "/metrics").await.json()["code"], "route_not_found");
    assert_eq!(value(&silent, "cenet_images_total", &[("outcome", "ok")]), Some(0.0));
    assert_eq!(value(&silent, "http_server_request_duration_seconds_count", &[]), None);
}
