//! The whole server on a port of its own.

use std::net::SocketAddr;

use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve::{self, Listeners};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{MeanColor, config, model};

/// A server of pictures' colours with these options, both faces at one address.
pub async fn listen(arguments: &[&str]) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let config = config(&[arguments, &["--single-port"]].concat());
    let engine = Engine::new(Repository::of(model("colors", MeanColor, 64)), &config.limits).expect("threads");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let listeners = Listeners { http: listener, grpc: None };
    let server =
        tokio::spawn(async move { serve::run(&config, engine, listeners, futures_util::stream::pending()).await });
    (address, server)
}

/// What the server says to these bytes until it hangs up, or the request asks it to.
pub async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    // it may hang up before it has read all
    let _ = connection.write_all(bytes).await;
    let mut reply = Vec::new();
    let _ = connection.read_to_end(&mut reply).await;
    String::from_utf8_lossy(&reply).into_owned()
}
