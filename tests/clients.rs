//! Clients that break off, dawdle or never read: they cost nobody else anything, and leave nothing behind.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use support::blue_png;
use support::listening::listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn post_head(length: usize) -> Vec<u8> {
    format!("POST /classify HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// Closes hard in the middle of its upload.
async fn break_off(address: SocketAddr) {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    connection.write_all(&post_head(50_000)).await.expect("sent");
    connection.write_all(&[7; 1000]).await.expect("sent");
    connection.set_zero_linger().expect("a socket option");
}

/// Sends a byte now and then until the server has had enough; what it says.
async fn dawdle(address: SocketAddr, head: Vec<u8>) -> String {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    connection.write_all(&head).await.expect("sent");
    let (mut reader, mut writer) = connection.split();
    let sending = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while writer.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let mut reply = Vec::new();
    tokio::select! {
        // a reset, when the last byte met a closed door, is an end too
        _ = reader.read_to_end(&mut reply) => {}
        () = sending => {}
    }
    String::from_utf8_lossy(&reply).into_owned()
}

/// Asks for more than fits into a socket's buffers and reads nothing, until the server hangs up.
async fn never_read(address: SocketAddr) {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n";
    while connection.write_all(request).await.is_ok() {}
}

async fn ask(address: SocketAddr) -> String {
    let body = blue_png();
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let head = String::from_utf8(post_head(body.len())).expect("text").replace("host", "connection: close\r\nhost");
    connection.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await.expect("an orderly end");
    reply
}

/// Many at once, but no more than a process may have files open.
async fn crowd<F: Future>(clients: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures_util::stream::iter(clients).buffer_unordered(80).collect().await
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux tells").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_bad_clients_leave_nothing_behind() {
    let quick = ["--request-timeout-ms", "1000", "--header-timeout-ms", "1000", "--idle-timeout-ms", "1"];
    let (address, server) = listen(&quick).await;
    assert!(ask(address).await.starts_with("HTTP/1.1 200"));
    let before = open_files();
    let slow_head = || b"POST /classify HTTP/1.1\r\nx".to_vec();
    let breaking = crowd((0..500).map(|_| break_off(address)));
    let slow_bodies = crowd((0..240).map(|_| dawdle(address, post_head(50_000))));
    let slow_heads = crowd((0..240).map(|_| dawdle(address, slow_head())));
    let deaf = crowd((0..20).map(|_| never_read(address)));
    let good = async {
        let mut answered = 0;
        while answered < 50 {
            let reply = ask(address).await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
            answered += 1;
        }
    };
    let (_, slow_bodies, slow_heads, _, ()) = tokio::join!(breaking, slow_bodies, slow_heads, deaf, good);
    let late = slow_bodies.iter().filter(|reply| reply.starts_with("HTTP/1.1 504")).count();
    assert!(late > 200, "{late} of 240 slow uploads are told that their time is up");
    assert!(slow_heads.iter().all(|reply| !reply.starts_with("HTTP/1.1 200")));
    // the server's ends of the connections are dropped by its own tasks
    while open_files() > before {
        tokio::task::yield_now().await;
    }
    assert!(ask(address).await.starts_with("HTTP/1.1 200"));
    server.abort();
}
