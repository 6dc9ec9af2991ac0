//! A stop loses no request that is in flight.

mod support;

use std::sync::mpsc;

use cenet_serve::config::ServeConfig;
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve;
use clap::{Args, Command, FromArgMatches};
use futures_util::Stream;
use support::{MeanColor, Scripted, blue_png, limits, model};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

fn config(arguments: &[&str]) -> ServeConfig {
    let matches = ServeConfig::augment_args(Command::new("serve")).get_matches_from(arguments);
    ServeConfig::from_arg_matches(&matches).expect("valid arguments")
}

/// One signal, when the test sends it.
fn stop_signal(stopped: oneshot::Receiver<()>) -> impl Stream<Item = ()> {
    futures_util::stream::once(async { stopped.await.expect("the test stops it") })
}

/// A server whose network tells when it begins and waits to be let go.
struct Held {
    begun: tokio::sync::mpsc::UnboundedReceiver<()>,
    let_go: mpsc::Sender<()>,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    client: tokio::task::JoinHandle<String>,
}

async fn hold_a_request(arguments: &[&str]) -> Held {
    let (begin, begun) = tokio::sync::mpsc::unbounded_channel();
    let (let_go, wait) = mpsc::channel::<()>();
    let network = Scripted(move |input| {
        begin.send(()).expect("the test listens");
        // the test may be over before this network is let go
        let _ = wait.recv();
        cenet_serve::backend::Backend::infer(&mut MeanColor, input)
    });
    let engine = Engine::new(Repository::of(model("colors", network, 4)), &limits()).expect("threads");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let config = config(arguments);
    let server = tokio::spawn(async move { serve::run(&config, engine, listener, stop_signal(stopped)).await });
    let client = tokio::spawn(async move {
        let body = blue_png();
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        let head = format!("POST /classify HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.write_all(head.as_bytes()).await.expect("sent");
        connection.write_all(&body).await.expect("sent");
        let mut reply = String::new();
        // a connection that the server gave up on may end in a reset
        let _ = connection.read_to_string(&mut reply).await;
        reply
    });
    Held { begun, let_go, stop, server, client }
}

#[tokio::test]
async fn what_is_in_flight_is_answered() {
    let mut held = hold_a_request(&["serve"]).await;
    held.begun.recv().await.expect("the network begins");
    held.stop.send(()).expect("the server runs");
    held.let_go.send(()).expect("the network waits");
    let reply = held.client.await.expect("no panic");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(reply.contains("\"blue\""), "{reply}");
    held.server.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn the_wait_for_what_is_in_flight_is_bounded() {
    let mut held = hold_a_request(&["serve", "--drain-timeout-s", "0"]).await;
    held.begun.recv().await.expect("the network begins");
    held.stop.send(()).expect("the server runs");
    held.server.await.expect("no panic").expect("it ends though a request is held");
    held.let_go.send(()).expect("the network waits");
}
