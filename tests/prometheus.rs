//! A real Prometheus scrapes the server under load: every metric arrives, every rule is evaluated, and every panel of the dashboard
//! has something to show. `make test-prometheus` runs it; it needs the program `prometheus` (Debian: the package of that name).

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cenet_serve::metrics::Kind;
use cenet_serve::metrics::families::ALL;
use cenet_serve::model::{Repository, RepositoryOptions};
use cenet_serve::serve::grpc::proto::vision::ClassifyRequest;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use serde_json::Value;
use support::blue_png;
use support::deployed::{dashboard_expressions, names, path, rule_expressions};
use support::grpc::{Running, classify};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a slow machine; an answer ends the wait.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// A Prometheus that scrapes `target`.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// None where the program is absent.
    async fn start(target: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: [{:?}]\n\
             scrape_configs:\n  - job_name: cenet-serve\n    static_configs: [{{targets: [\"{target}\"]}}]\n",
            path("prometheus/rules.yml")
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { process, address, _folder: folder })
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        // HTTP/1.0 has no chunks
        let head = format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The series that `expression` gives now.
    async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded = expression.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02X}").expect("a text takes all");
            text
        });
        let Some(answer) = self.get(&format!("query?query={encoded}")).await else { return Vec::new() };
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks over both protocols, well and badly.
async fn load(server: &Running) {
    let picture = blue_png();
    let mut client = VisionClient::new(server.channel().await);
    for body in [picture.as_slice(), b"no picture"] {
        let length = body.len();
        let head = format!("POST /classify?model=tiny_ce HTTP/1.0\r\ncontent-length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(server.http).await.expect("it listens");
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        stream.read_to_end(&mut Vec::new()).await.expect("answered");
        let request = ClassifyRequest { model: "tiny_ce".into(), ..classify(&[body]) };
        client.classify(request).await.expect("answered");
    }
    // a deadline that no request meets
    let head = "POST /classify?model=tiny_ce HTTP/1.0\r\nx-request-timeout-ms: 1\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = TcpStream::connect(server.http).await.expect("it listens");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.read_to_end(&mut Vec::new()).await.expect("answered");
}

/// What a metric's family is asked for by: a histogram has no series of its name.
fn series(name: &str, kind: Kind) -> String {
    if kind == Kind::Histogram { format!("{name}_bucket") } else { name.to_owned() }
}

/// The first of `expressions` that has no data although everything has been asked and scraped.
async fn without_data(prometheus: &Prometheus, server: &Running, expressions: &[String]) -> Option<String> {
    let mut left = expressions.to_vec();
    let begun = tokio::time::Instant::now();
    while !left.is_empty() && begun.elapsed() < PATIENCE {
        load(server).await;
        let mut still = Vec::new();
        for expression in left {
            if prometheus.query(&expression).await.is_empty() {
                still.push(expression);
            }
        }
        left = still;
        tokio::time::sleep(PAUSE).await;
    }
    left.into_iter().next()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a Prometheus: make test-prometheus"]
async fn prometheus_finds_what_the_server_tells() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let options = RepositoryOptions { root, first: vec!["tiny_ce".into()], ..RepositoryOptions::default() };
    let server = Running::start(Repository::open(options).expect("a folder"), &["--canary-interval-s", "1"]).await;
    let Some(prometheus) = Prometheus::start(server.http).await else {
        eprintln!("passed over: there is no prometheus; Debian has it in the package of that name");
        return;
    };
    let metrics: Vec<_> = ALL.iter().map(|family| series(family.name, family.kind)).collect();
    assert_eq!(without_data(&prometheus, &server, &metrics).await, None, "told, but not found");

    let failures = ["CenetErrors", "errors:rate5m", "outcome=\"failed\"", "status=~\"500"];
    let panels: Vec<_> = dashboard_expressions()
        .into_iter()
        .filter(|expression| !failures.iter().any(|failure| expression.contains(failure)))
        .filter(|expression| !names(expression).metrics.is_empty() && !expression.starts_with("changes("))
        .collect();
    assert!(panels.len() > 30, "{}", panels.len());
    assert_eq!(without_data(&prometheus, &server, &panels).await, None, "a panel that stays empty");

    let rules = prometheus.get("rules").await.expect("rules");
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert_eq!(rules.len(), rule_expressions().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let expected = if rule["type"] == "alerting" { "inactive" } else { "" };
        let state = rule["state"].as_str().unwrap_or_default();
        assert!(state == expected || rule["name"] == "CenetRejections", "{rule}");
    }
}
