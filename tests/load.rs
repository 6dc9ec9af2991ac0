//! The load tool: an open loop counts from when a request was due; both faces are loaded; what it writes can be read.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cenet_serve::load::{
    Control, Failure, GrpcTarget, HttpTarget, Question, Target, closed_loop, drawn_picture, open_loop,
};
use cenet_serve::manifest::Task;
use cenet_serve::model::Repository;
use serde_json::Value;
use support::fake::{Fake, Mood};
use support::grpc::Running;
use support::{MeanColor, batching_model, model};

/// A server that answers at once, but stops the whole program for a while at one of its requests.
struct Stalling {
    at: usize,
    pause: Duration,
}

impl Target for Stalling {
    type Connection = ();

    async fn connect(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn ask(&self, (): &mut (), number: usize) -> Result<(), Failure> {
        if number == self.at {
            // with the thread that all requests are sent by: those that are due meanwhile are sent late, and answered at once
            std::thread::sleep(self.pause);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_pause_is_seen_by_everyone_who_would_have_come() {
    let target = Arc::new(Stalling { at: 100, pause: Duration::from_millis(400) });
    let tally = open_loop(&target, 500.0, &Control::new(Duration::from_secs(1))).await;
    let summary = tally.summary();
    assert_eq!((summary.requests, summary.answered), (500, 500));
    // 200 requests were due within the pause, evenly: the median of all 500 is small, the quarter that waited longest waited 150 ms
    let latency = summary.latency_ms.expect("answered");
    assert!(latency.max >= 400.0, "{latency:?}");
    assert!(latency.p90 >= 250.0, "50 of 500 waited longer than 300 ms: {latency:?}");
    let waited = summary.curve_ms.iter().find(|[_, latency]| *latency >= 100.0).expect("a point");
    assert!(waited[0] <= 0.75, "150 of 500 waited longer than 100 ms: {:?}", summary.curve_ms);
}

#[tokio::test]
async fn a_closed_loop_hides_the_same_pause() {
    let target = Arc::new(Stalling { at: 100, pause: Duration::from_millis(400) });
    let summary = closed_loop(&target, 1, &Control::new(Duration::from_millis(600))).await.summary();
    let latency = summary.latency_ms.expect("answered");
    assert!(latency.max >= 400.0 && latency.p99 < 100.0, "one request of many: {latency:?}");
}

/// Loses its connection at each third request.
struct Dropping(AtomicUsize);

impl Target for Dropping {
    type Connection = usize;

    async fn connect(&self) -> Result<usize, Failure> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }

    async fn ask(&self, asked: &mut usize, number: usize) -> Result<(), Failure> {
        *asked += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if number % 3 == 2 { Err(Failure { code: "gone".into(), broken: true }) } else { Ok(()) }
    }
}

#[tokio::test]
async fn who_loses_a_connection_opens_another() {
    let target = Arc::new(Dropping(AtomicUsize::new(0)));
    let summary = closed_loop(&target, 1, &Control::new(Duration::from_millis(300))).await.summary();
    let gone = summary.failed["gone"].count;
    assert!(gone >= 3 && summary.answered >= 2 * gone, "{summary:?}");
    assert!((gone as usize..=gone as usize + 1).contains(&target.0.load(Ordering::Relaxed)), "a connection for each");
}

#[tokio::test]
async fn a_stop_ends_a_run_early_and_keeps_what_there_is() {
    let target = Arc::new(Stalling { at: usize::MAX, pause: Duration::ZERO });
    let control = Control::new(Duration::from_secs(3600));
    let stopping = async {
        while control.ended.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        control.stop.cancel();
    };
    let (tally, ()) = tokio::join!(open_loop(&target, 1000.0, &control), stopping);
    assert!((20..1000).contains(&tally.ended()), "{}", tally.ended());
}

fn question(pictures: Vec<Bytes>, headers: &[(&str, &str)]) -> Question {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Question { task: Task::Classify, model: None, pictures, headers: headers.collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_faces_are_loaded() {
    let running = Running::start(Repository::of(model("colors", MeanColor, 64)), &[]).await;
    let url = |address| format!("http://{address}").parse().expect("a URL");
    let control = Control::new(Duration::from_millis(300));
    let http = Arc::new(HttpTarget::new(&url(running.http), question(vec![drawn_picture()], &[])).expect("good"));
    let grpc = Arc::new(GrpcTarget::new(&url(running.grpc), question(vec![drawn_picture()], &[])).expect("good"));
    for summary in [
        closed_loop(&http, 3, &control).await.summary(),
        closed_loop(&grpc, 3, &control).await.summary(),
        open_loop(&http, 20.0, &control).await.summary(),
        open_loop(&grpc, 20.0, &control).await.summary(),
    ] {
        assert!(summary.answered >= 3 && summary.failed.is_empty(), "{summary:?}");
    }
    // a deadline that can't be kept: both tell the server's own code
    let pictures = vec![Bytes::from_static(b"no picture")];
    let http = Arc::new(HttpTarget::new(&url(running.http), question(pictures.clone(), &[])).expect("good"));
    let grpc = Arc::new(GrpcTarget::new(&url(running.grpc), question(pictures, &[])).expect("good"));
    for summary in [closed_loop(&http, 1, &control).await.summary(), closed_loop(&grpc, 1, &control).await.summary()] {
        assert_eq!(summary.failed.keys().collect::<Vec<_>>(), ["unsupported_image"], "{summary:?}");
        assert_eq!(summary.answered, 0);
    }
    let headers = [("x-request-priority", "sometimes")];
    let http = Arc::new(HttpTarget::new(&url(running.http), question(vec![drawn_picture()], &headers)).expect("good"));
    let grpc = Arc::new(GrpcTarget::new(&url(running.grpc), question(vec![drawn_picture()], &headers)).expect("good"));
    for summary in [closed_loop(&http, 1, &control).await.summary(), closed_loop(&grpc, 1, &control).await.summary()] {
        assert_eq!(summary.failed.keys().collect::<Vec<_>>(), ["invalid_parameter"], "{summary:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_is_counted_by_the_code() {
    let (fake, mut begun) = Fake::new(Mood::Hold);
    let held = batching_model("held", fake.instances(1), cenet_serve::batch::BatchPolicy::SINGLE, 1);
    let running = Running::start(Repository::of(held), &[]).await;
    let url = format!("http://{}", running.http).parse().expect("a URL");
    let target = Arc::new(HttpTarget::new(&url, question(vec![drawn_picture()], &[])).expect("good"));
    let control = Control { timeout: Duration::from_millis(400), ..Control::new(Duration::from_millis(200)) };
    let summary = closed_loop(&target, 4, &control).await.summary();
    begun.recv().await.expect("the one that was let in");
    assert_eq!(summary.failed["timeout"].count, 1, "{summary:?}");
    assert!(summary.failed["overloaded"].count >= 3, "{summary:?}");
    fake.set(Mood::Right);
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cenet-serve")).arg("bench").args(arguments).output().expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_tells_writes_and_finds_the_knee() {
    let running =
        Running::start(Repository::of(model("colors", MeanColor, 64)), &["--max-images-in-flight", "64"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (json, html) = (folder.path().join("numbers.json"), folder.path().join("report.html"));
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let (json_path, html_path, url) = (path(&json), path(&html), running.http.to_string());
    let output = tokio::task::spawn_blocking(move || {
        let run = ["--concurrency", "1,2", "--duration", "300ms", "--warmup", "50ms", "--knee", "--p99-ms", "1000"];
        bench(&[&[url.as_str(), "--model", "colors", "--json", &json_path, "--report", &html_path], &run[..]].concat())
    });
    let output = output.await.expect("no panic");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    assert!(table.contains("2 clients") && table.contains("/s asked") && table.contains("knee: "), "{table}");
    let numbers: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
    assert_eq!((&numbers["runs"][0]["loop"], &numbers["runs"][0]["clients"]), (&"closed".into(), &1.into()));
    let answered = numbers["runs"][0]["answered"].as_u64().expect("a number");
    assert!(answered > 0, "{numbers}");
    assert!(numbers["knee"]["answered_share"].is_number(), "{numbers}");
    let html = std::fs::read_to_string(&html).expect("written");
    assert!(html.matches("<polyline").count() >= 3, "a curve a run");
    assert!(!html.contains("src=") && !html.contains("href="), "it asks nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_faces_port_is_no_fast_server() {
    let running = Running::start(Repository::of(model("colors", MeanColor, 64)), &[]).await;
    for (address, protocol) in [(running.grpc, "http"), (running.http, "grpc")] {
        let bench = move || bench(&[&address.to_string(), "--protocol", protocol, "--duration", "100ms"]);
        let output = tokio::task::spawn_blocking(bench).await.expect("no panic");
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stderr).contains("unless the server was told otherwise"));
    }
}

#[test]
fn what_cannot_be_asked_is_told() {
    for protocol in ["http", "grpc"] {
        let output = bench(&["127.0.0.1:9", "--protocol", protocol, "--duration", "100ms"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("http://127.0.0.1:9") && told.contains("refused"), "{told}");
    }
    let told = bench(&["https://127.0.0.1:9"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("plain HTTP"));
    let told = bench(&["127.0.0.1:9", "--image", "nowhere"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("nowhere"));
}
