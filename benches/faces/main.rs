//! What the faces cost: `cargo bench --bench faces -- --rounds 10`.
//!
//! An inference so small that little but the face is left of it: 768 bytes of tensor in, three numbers out, a network that takes their
//! mean. It is asked over HTTP (`/v2`, binary tensors) and over gRPC (`ModelInfer`), beside an echo of the same bytes by bare axum and by
//! bare tonic, beside a server that counts nothing (`--metrics false`), and beside the same inference without a face. All in turns, so that a machine whose speed drifts is fair to each;
//! every server has a runtime of one thread, the clients another.

mod connection;
mod echo;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cenet_serve::config::LimitOptions;
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::oip::{DataType, Tensor, TensorRequest};
use cenet_serve::request::Terms;
use cenet_serve::serve::grpc::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use cenet_serve::serve::grpc::proto::inference::{ModelInferRequest, model_infer_request::InferInputTensor};
use clap::Parser;
use connection::Connection;
use futures_util::future::join_all;
use serde_json::json;
use support::grpc::Running;
use support::{MeanColor, model};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

const MODEL: &str = "ping";
const SHAPE: [i64; 4] = [1, 3, 8, 8];
/// Of the tensor: float32.
const BYTES: usize = 3 * 8 * 8 * 4;
const PLACES: usize = 256;

/// Asks for the smallest inference over each face, and for an echo
#[derive(Parser)]
struct Options {
    /// Turns of every way of asking
    #[arg(long, default_value_t = 10)]
    rounds: usize,

    /// Milliseconds that each way is asked for in a turn
    #[arg(long, default_value_t = 500)]
    turn_ms: u64,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A way of asking.
#[derive(Clone, Copy)]
enum Way {
    Http(SocketAddr),
    Grpc(SocketAddr),
    Direct,
}

/// How often, and how long a request took in the middle, of every turn.
#[derive(Default)]
struct Measured {
    per_second: Vec<f64>,
    median_us: Vec<f64>,
}

fn http_request() -> Vec<u8> {
    let parameters = json!({ "binary_data_size": BYTES });
    let input = json!({ "name": "input", "shape": SHAPE, "datatype": "FP32", "parameters": parameters });
    let head = json!({ "inputs": [input], "parameters": { "binary_data_output": true } }).to_string();
    let (length, body) = (head.len(), [head.as_bytes(), &[0; BYTES]].concat());
    let path = format!("/v2/models/{MODEL}/infer HTTP/1.1\r\ninference-header-content-length: {length}");
    let head = format!("POST {path}\r\nhost: bench\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

fn grpc_request() -> ModelInferRequest {
    let input = InferInputTensor {
        name: "input".into(),
        datatype: "FP32".into(),
        shape: SHAPE.to_vec(),
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: MODEL.into(),
        inputs: vec![input],
        raw_input_contents: vec![Bytes::from_static(&[0; BYTES])],
        ..ModelInferRequest::default()
    }
}

fn direct_request() -> TensorRequest {
    let data = Bytes::from_static(&[0; BYTES]);
    TensorRequest {
        model: MODEL.into(),
        version: None,
        id: String::new(),
        inputs: vec![Tensor::from_binary("input", DataType::Fp32, &SHAPE, data).expect("it fits")],
        outputs: Vec::new(),
        terms: Terms::at_leisure(),
    }
}

/// Latencies of one client that asks again as soon as it is answered, until `end`.
async fn client(way: Way, engine: &Engine, end: Instant) -> Vec<Duration> {
    match way {
        Way::Http(address) => {
            let mut connection = Connection::open(address).await.expect("it listens");
            let request = http_request();
            repeat(end, async || {
                assert_eq!(connection.ask(&request).await.expect("it answers"), 200);
            })
            .await
        }
        Way::Grpc(address) => {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
            let channel: Channel = endpoint.connect().await.expect("it listens");
            let mut client = GrpcInferenceServiceClient::new(channel);
            let request = grpc_request();
            repeat(end, async || {
                client.model_infer(request.clone()).await.expect("it answers");
            })
            .await
        }
        Way::Direct => {
            repeat(end, async || {
                engine.infer_tensors(direct_request()).await.expect("it answers");
            })
            .await
        }
    }
}

async fn repeat(end: Instant, mut ask: impl AsyncFnMut()) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        ask().await;
        let now = Instant::now();
        latencies.push(now - begun);
        begun = now;
    }
    latencies
}

async fn turn(way: Way, clients: usize, engine: &Engine, duration: Duration, measured: &mut Measured) {
    let end = Instant::now() + duration;
    let mut latencies = join_all((0..clients).map(|_| client(way, engine, end))).await.concat();
    latencies.sort();
    measured.per_second.push(latencies.len() as f64 / duration.as_secs_f64());
    measured.median_us.push(latencies[latencies.len() / 2].as_secs_f64() * 1e6);
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The median of what `numbers` are of `others`, turn by turn.
fn ratio(numbers: &[f64], others: &[f64]) -> f64 {
    median(&numbers.iter().zip(others).map(|(number, other)| number / other).collect::<Vec<_>>())
}

fn one_thread(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().expect("a thread")
}

fn ping() -> Repository {
    Repository::of(model(MODEL, MeanColor, PLACES))
}

fn main() {
    let options = Options::parse();
    let (served, echoing) = (one_thread("server"), one_thread("echo"));
    let server = served.block_on(Running::start(ping(), &[]));
    let silent = served.block_on(Running::start(ping(), &["--metrics", "false"]));
    let engine = Arc::new(Engine::new(ping(), &LimitOptions::default()).expect("threads"));
    let [echo_http, echo_grpc] = echoing.block_on(async { [echo::http().await, echo::grpc().await] });
    let ways = [
        ("HTTP, bare axum's echo", Way::Http(echo_http)),
        ("HTTP, /v2 inference", Way::Http(server.http)),
        ("gRPC, bare tonic's echo", Way::Grpc(echo_grpc)),
        ("gRPC, ModelInfer", Way::Grpc(server.grpc)),
        ("inference without a face", Way::Direct),
        ("HTTP, counting nothing", Way::Http(silent.http)),
        ("gRPC, counting nothing", Way::Grpc(silent.grpc)),
    ];
    let clients = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for count in [1, 8] {
        let mut measured = [const { Measured { per_second: Vec::new(), median_us: Vec::new() } }; 7];
        for _ in 0..options.rounds {
            for ((_, way), measured) in ways.iter().zip(&mut measured) {
                let duration = Duration::from_millis(options.turn_ms);
                clients.block_on(turn(*way, count, &engine, duration, measured));
            }
        }
        println!("{count} clients:");
        for ((name, _), one) in ways.iter().zip(&measured) {
            println!("  {name:26} {:7.0} /s, {:7.1} us", median(&one.per_second), median(&one.median_us));
        }
        for (face, [echo, served]) in [("HTTP", [0, 1]), ("gRPC", [2, 3])] {
            let share = ratio(&measured[served].per_second, &measured[echo].per_second);
            let longer = ratio(&measured[served].median_us, &measured[echo].median_us);
            println!("  {face}: {share:.2} of the echo's requests, {longer:.2} of its latency");
        }
        for (face, [counting, silent]) in [("HTTP", [1, 5]), ("gRPC", [3, 6])] {
            let share = ratio(&measured[counting].per_second, &measured[silent].per_second);
            println!("  {face}: {share:.3} of the requests that are answered without metrics");
        }
    }
}
