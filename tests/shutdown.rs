//! A stop loses no request that is in flight, and tells those that it can't wait for.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use cenet_serve::batch::BatchPolicy;
use cenet_serve::config::LimitOptions;
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve::{self, Listeners};
use futures_util::future::join_all;
use support::fake::{Fake, Mood};
use support::{batching_model, blue_png, config, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// A server whose network waits until the test lets it go on.
struct Server {
    network: Fake,
    batches: UnboundedReceiver<usize>,
    signals: UnboundedSender<()>,
    address: SocketAddr,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let (network, batches) = Fake::new(Mood::Hold);
        let policy = BatchPolicy { max_size: 8, max_delay: std::time::Duration::ZERO };
        let model = batching_model("colors", network.instances(2), policy, 1000);
        let limits = LimitOptions { max_images_in_flight: 1000, ..limits() };
        let engine = Engine::new(Repository::of(model), &limits).expect("threads");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (signals, mut received) = unbounded_channel();
        let config = config(arguments);
        let ended = tokio::spawn(async move {
            let signals = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
            serve::run(&config, engine, Listeners { http: listener, grpc: None }, signals).await
        });
        Self { network, batches, signals, address, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends a picture; the answer comes when the network is let go.
    async fn ask(&self) -> JoinHandle<String> {
        let body = blue_png();
        let head = format!("POST /classify HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut connection = self.connect().await;
        connection.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
        tokio::spawn(read_to_end(connection))
    }

    async fn get(&self, path: &str) -> String {
        let mut connection = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("sent");
        read_to_end(connection).await
    }
}

async fn read_to_end(mut connection: TcpStream) -> String {
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await.expect("an orderly end");
    reply
}

#[tokio::test]
async fn of_500_requests_in_flight_500_are_answered() {
    let mut server = Server::start(&[]).await;
    let mut replies = Vec::new();
    for _ in 0..500 {
        replies.push(server.ask().await);
    }
    server.batches.recv().await.expect("the network is busy");
    server.signals.send(()).expect("the server runs");
    server.network.set(Mood::Right);
    for reply in join_all(replies).await {
        let reply = reply.expect("no panic");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"blue\""), "{reply}");
    }
    server.ended.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn what_cannot_be_finished_is_told_so() {
    let mut server = Server::start(&["--drain-timeout-s", "0"]).await;
    let reply = server.ask().await;
    server.batches.recv().await.expect("the network is busy");
    server.signals.send(()).expect("the server runs");
    let reply = reply.await.expect("no panic");
    assert!(reply.starts_with("HTTP/1.1 503") && reply.contains("\"unavailable\""), "{reply}");
    assert!(reply.contains("retry-after: 1"), "{reply}");
    server.ended.await.expect("no panic").expect("an orderly end");
    server.network.set(Mood::Right);
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let mut server = Server::start(&["--drain-timeout-s", "3600"]).await;
    let reply = server.ask().await;
    server.batches.recv().await.expect("the network is busy");
    server.signals.send(()).expect("the server runs");
    server.signals.send(()).expect("the server runs");
    let reply = reply.await.expect("no panic");
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    server.ended.await.expect("no panic").expect("an orderly end");
    server.network.set(Mood::Right);
}

#[tokio::test]
async fn during_the_delay_it_serves_on_but_says_goodbye() {
    let server = Arc::new(Server::start(&["--shutdown-delay-ms", "3600000"]).await);
    server.network.set(Mood::Right);
    let before = {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
        read_to_end(connection).await
    };
    assert!(before.starts_with("HTTP/1.1 200"), "{before}");
    server.signals.send(()).expect("the server runs");
    // only an answer that closes its connection ends here
    let mut ready = server.get("/readyz").await;
    while ready.starts_with("HTTP/1.1 200") {
        ready = server.get("/readyz").await;
    }
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("shutting down"), "{ready}");
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200"), "it lives");
    let reply = server.ask().await.await.expect("no panic");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("connection: close"), "{reply}");
    server.signals.send(()).expect("the server runs");
    let server = Arc::into_inner(server).expect("nobody else has it");
    server.ended.await.expect("no panic").expect("an orderly end");
}
