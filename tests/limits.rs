//! Every limit of docs/limits.md, met just below and just above. Those that take time are in `clients`, `faults` and `serve::head_timer`,
//! those of model directories in `model_files`, those of pictures' files in `torture`.

mod support;

use std::fmt::Write;
use std::net::SocketAddr;

use cenet_serve::config::LimitOptions;
use image::{ImageFormat, RgbImage};
use serde_json::json;
use support::listening::{listen, say};
use support::{MeanColor, blue_png, encode, engine, form, get, limits, model, post, serving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request without a body, after which the server hangs up, that is `bytes` long.
fn head_of(bytes: usize) -> String {
    let start = "GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\npadding: ";
    format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
}

fn head_with_fields(fields: usize) -> String {
    let mut head = "GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n".to_owned();
    (2..fields).for_each(|index| write!(head, "field-{index}: x\r\n").expect("a string"));
    head + "\r\n"
}

fn post_of(content_type: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn heads_have_so_many_bytes_and_fields() {
    let (address, server) = listen(&[]).await;
    assert_eq!(status(&say(address, head_of(65_000).as_bytes()).await), "200");
    assert_eq!(status(&say(address, head_of(66_000).as_bytes()).await), "431");
    let long_path =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n", "x".repeat(bytes));
    assert_eq!(status(&say(address, long_path(60_000).as_bytes()).await), "404", "a path as long as a head may be");
    assert!(["414", "431"].contains(&status(&say(address, long_path(66_000).as_bytes()).await)));
    assert_eq!(status(&say(address, head_with_fields(100).as_bytes()).await), "200");
    assert_eq!(status(&say(address, head_with_fields(101).as_bytes()).await), "431");
    server.abort();
}

#[tokio::test]
async fn bodies_have_so_many_bytes() {
    let (address, server) = listen(&["--max-body-bytes", "10000"]).await;
    let told = async |bytes: usize| say(address, &post_of("image/png", "/classify", &vec![7; bytes])).await;
    assert_eq!(status(&told(10_000).await), "415", "it is read, and no picture");
    assert!(told(10_001).await.contains("payload_too_large"));
    // a length that isn't told is counted
    let chunked = async |bytes: usize| {
        let head = "POST /classify HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = format!("{head}{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
        say(address, body.as_bytes()).await
    };
    assert_eq!(status(&chunked(10_000).await), "415");
    assert!(chunked(10_001).await.contains("payload_too_large"));
    server.abort();
}

#[tokio::test]
async fn so_many_clients_may_be_connected() {
    let (address, server) = listen(&["--max-connections", "2"]).await;
    let first = TcpStream::connect(address).await.expect("it listens");
    let mut second = TcpStream::connect(address).await.expect("it listens");
    second.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    let mut reply = vec![0; 12];
    second.read_exact(&mut reply).await.expect("the last that may come is answered");
    assert_eq!(reply, b"HTTP/1.1 200");
    let told = say(address, b"").await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    assert!(told.ends_with('}') && told.contains(r#""code":"unavailable""#), "{told}");
    drop(first);
    // the server's end is dropped by a task of its own
    let metrics = loop {
        let told = say(address, b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
        if told.starts_with("HTTP/1.1 200") {
            break told;
        }
    };
    assert!(metrics.contains(r#"reason="connections""#), "{metrics}");
    server.abort();
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of `POST /classify` by HPACK's static table, and one of `padding` bytes.
fn fields(padding: usize) -> Vec<u8> {
    let text = |text: &[u8]| [&length(text.len(), 7)[..], text].concat();
    let own = [&[0x00][..], &text(b"padding"), &text(&vec![b'x'; padding])].concat();
    [&[0x83, 0x86, 0x44][..], &text(b"/classify"), &[0x41], &text(b"test"), &own].concat()
}

/// HPACK's integers.
fn length(value: usize, bits: u32) -> Vec<u8> {
    let most = (1 << bits) - 1;
    let Some(mut rest) = value.checked_sub(most) else { return vec![value as u8] };
    let mut bytes = vec![most as u8];
    while rest >= 128 {
        bytes.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// A connection that speaks HTTP/2, its settings exchanged.
async fn speak_http2(address: SocketAddr) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    connection.write_all(&frame(4, 0, 0, &[])).await.expect("sent");
    connection
}

/// The next frame of `kind`: its stream and payload.
async fn next_frame(connection: &mut TcpStream, kind: u8) -> (u32, Vec<u8>) {
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        connection.read_exact(&mut payload).await.expect("its payload");
        if head[3] == kind {
            return (u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload);
        }
    }
}

#[tokio::test]
async fn so_many_requests_are_open_on_an_http2_connection() {
    const STREAMS: u32 = 256;
    const RST_STREAM: u8 = 3;
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    let (address, server) = listen(&["--max-body-bytes", "1000"]).await;
    let mut connection = speak_http2(address).await;
    let (_, settings) = next_frame(&mut connection, 4).await;
    let told = settings.as_chunks::<6>().0.iter().find(|setting| setting[..2] == [0, 3]);
    assert_eq!(told.map(|setting| setting[2..].to_vec()), Some(STREAMS.to_be_bytes().to_vec()));
    // their bodies never come
    for index in 0..=STREAMS {
        connection.write_all(&frame(1, 4, 2 * index + 1, &fields(1))).await.expect("sent");
    }
    let (stream, reason) = next_frame(&mut connection, RST_STREAM).await;
    assert_eq!((stream, reason), (2 * STREAMS + 1, REFUSED_STREAM.to_vec()), "the one that is too many, and no other");
    server.abort();
}

#[tokio::test]
async fn heads_over_http2_have_so_many_bytes() {
    // `:status` and 431 in HPACK's Huffman code
    const STATUS_431: [u8; 5] = [0x48, 0x83, 0x69, 0x90, 0xff];
    let (address, server) = listen(&[]).await;
    for (padding, refused) in [(64_000, false), (66_000, true)] {
        let mut connection = speak_http2(address).await;
        let block = fields(padding);
        let (first, rest) = block.split_at(16_000);
        connection.write_all(&frame(1, 1, 1, first)).await.expect("sent");
        let mut parts = rest.chunks(16_000).peekable();
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { 4 } else { 0 };
            connection.write_all(&frame(9, last, 1, part)).await.expect("sent");
        }
        let (stream, answer) = next_frame(&mut connection, 1).await;
        assert_eq!((stream, answer.starts_with(&STATUS_431)), (1, refused), "{padding}: {answer:02x?}");
    }
    server.abort();
}

#[tokio::test]
async fn a_request_holds_so_many_pictures_of_so_many_pixels() {
    let limits = LimitOptions { max_images_in_flight: 3, max_image_pixels: 64, ..limits() };
    let service = serving(&engine(model("colors", MeanColor, 8), &limits));
    let of = |width, height| encode(&RgbImage::new(width, height), ImageFormat::Png);
    assert_eq!(post(&service, "/classify", "image/png", of(8, 8)).await.status, 200);
    let reply = post(&service, "/classify", "image/png", of(13, 5)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (413, &json!("image_too_large")));
    let small = of(8, 8);
    for (pictures, status) in [(3, 200), (4, 400)] {
        let (content_type, body) = form(&vec![small.as_slice(); pictures]);
        assert_eq!(post(&service, "/classify", &content_type, body).await.status, status, "{pictures} pictures");
    }
}

#[tokio::test]
async fn json_is_nested_so_deep() {
    let service = serving(&engine(model("colors", MeanColor, 8), &limits()));
    // an object, its list, an object, and then the data
    let infer = async |depth: usize| {
        let numbers = json!(vec![0.5; 192]).to_string();
        let data = format!("{}{numbers}{}", "[".repeat(depth - 4), "]".repeat(depth - 4));
        let input = format!(r#"{{"name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": {data}}}"#);
        let body = format!(r#"{{"inputs": [{input}]}}"#);
        post(&service, "/v2/models/colors/infer", "application/json", body).await.status.as_u16()
    };
    assert_eq!((infer(127).await, infer(128).await), (200, 400));
}

#[tokio::test]
async fn parts_of_forms_have_so_many_fields() {
    let service = serving(&engine(model("colors", MeanColor, 8), &limits()));
    let send = async |fields: usize, name: usize| {
        let more = (1..fields).map(|index| format!("x-{index}: y\r\n")).collect::<String>();
        let name = "n".repeat(name);
        let head =
            format!("--boundary\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n{more}\r\n");
        let body = [head.as_bytes(), &blue_png(), b"\r\n--boundary--\r\n"].concat();
        post(&service, "/classify", "multipart/form-data; boundary=boundary", body).await.status.as_u16()
    };
    assert_eq!((send(32, 9).await, send(33, 9).await), (200, 400));
    assert_eq!(send(1, 200_000).await, 200, "a file's name is not looked at, however long");
}

#[tokio::test]
async fn no_request_names_a_file_or_an_address() {
    let service = serving(&engine(model("colors", MeanColor, 8), &limits()));
    let names = [
        "..",
        "../colors",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%2fetc%2fpasswd",
        "colors%2f..%2fcolors",
        "colors%00",
        "http:%2f%2fexample.org%2fmodel",
        "file:%2f%2f%2fetc%2fpasswd",
        "C:%5cmodels",
        "colors%0d%0a",
        ".",
        "%20colors",
    ];
    for name in names {
        let reply = post(&service, &format!("/classify?model={name}"), "image/png", blue_png()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &json!("model_not_found")), "{name}");
        for path in ["/v1/models/NAME", "/v2/models/NAME", "/v2/models/NAME/ready", "/v2/models/NAME/versions/1"] {
            let path = path.replace("NAME", name);
            let status = get(&service, &path).await.status.as_u16();
            assert!([400, 404, 405].contains(&status), "{path}: {status}");
        }
    }
    for version in ["..", "0", "-1", "1%2f..", "99999999999999999999", "latest"] {
        let reply = post(&service, &format!("/classify?model=colors&version={version}"), "image/png", blue_png()).await;
        assert!([400, 404].contains(&reply.status.as_u16()), "{version}: {}", reply.status);
    }
    // what stands for a picture is its bytes: an address isn't fetched
    for image in ["http://127.0.0.1:1/x.png", "file:///etc/passwd", "/etc/passwd"] {
        let reply = post(&service, "/classify", "application/json", json!({ "image": image }).to_string()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (400, &json!("invalid_request")), "{image}");
    }
}

/// Heads that two readers may read in two ways: no part of one is ever taken for another request.
#[tokio::test]
async fn heads_that_can_be_read_in_two_ways_are_refused() {
    let (address, server) =
        listen(&["--api-keys", "name infer 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]).await;
    let inner = "GET /v1/models HTTP/1.1\r\nhost: test\r\nauthorization: Bearer test\r\n\r\n";
    let heads = [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length : 5\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "authorization: Bear\r\n er test\r\n",
        "authorization\0: Bearer test\r\n",
        "authorization: Bearer te\0st\r\n",
        ": Bearer test\r\n",
        "authorization Bearer test\r\n",
    ];
    for head in heads {
        let request = format!("POST /classify HTTP/1.1\r\nhost: test\r\n{head}\r\n{inner}");
        let reply = say(address, request.as_bytes()).await;
        assert_eq!(status(&reply), "400", "{head:?}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{head:?}: one answer, and the end");
    }
    // both lengths: the chunks count, and what follows them isn't a request that was let in
    let both =
        "POST /classify HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let reply =
        say(address, format!("{both}GET /v1/models HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
    assert!(reply.split("HTTP/1.1 ").skip(1).all(|one| one.starts_with("400") || one.starts_with("401")), "{reply}");
    server.abort();
}

/// Each option that bounds something stands in the table of docs/limits.md with its default.
#[test]
fn the_table_names_every_option() {
    let table = std::fs::read_to_string("docs/limits.md").expect("the document");
    let command = <cenet_serve::config::ServeConfig as clap::Args>::augment_args(clap::Command::new("serve"));
    // how many pictures go together bounds nobody
    let bounds = |name: &str| {
        name.starts_with("max-") && name != "max-batch-size"
            || name.ends_with("-timeout-ms")
            || name.ends_with("-in-flight")
    };
    let mut found = 0;
    for option in command.get_arguments() {
        let Some(name) = option.get_long().filter(|name| bounds(name)) else { continue };
        let default = option.get_default_values()[0].to_str().expect("text");
        let row = table.lines().find(|line| line.contains(&format!("`--{name}`")));
        let row = row.unwrap_or_else(|| panic!("--{name} isn't in docs/limits.md"));
        assert!(row.replace(',', "").contains(default), "--{name}: {default} isn't in {row}");
        found += 1;
    }
    assert!(found >= 8, "{found} options");
}
