//! The program as people start it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

fn golden_picture() -> PathBuf {
    repository().join("tiny_ce/1/golden.png")
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cenet-serve"));
    command.env("CENET_MODEL_REPOSITORY", repository());
    // plans of tests stay away from the user's own
    command.env("CENET_PLAN_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("plans"));
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn predict_answers_as_the_server_does() {
    let picture = golden_picture();
    let output = run(&["predict", "tiny_ce", picture.to_str().expect("text"), "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let predicted: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(predicted[0]["model"], "tiny_ce");

    let mut server = program()
        .args(["serve", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(server.stderr.take().expect("piped"));
    let address = listening_address(&mut log);
    let mut connection = TcpStream::connect(&address).expect("it listens");
    let body = std::fs::read(&picture).expect("the picture is there");
    write!(
        connection,
        "POST /classify HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .and_then(|()| connection.write_all(&body))
    .expect("sent");
    let mut reply = String::new();
    connection.read_to_string(&mut reply).expect("answered");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{reply}");
    let served: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(served["predictions"], predicted[0]["predictions"]);

    let stopped = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().expect("kill runs");
    assert!(stopped.success());
    assert!(server.wait().expect("it ends").success(), "SIGTERM is an orderly end");
}

/// Reads the log until the server says where it listens.
fn listening_address(log: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(log.read_line(&mut line).expect("readable") > 0, "the server ended before it listened");
        let event: Value = serde_json::from_str(&line).expect("a JSON line");
        if let Some(address) = event["http_addr"].as_str() {
            return address.to_owned();
        }
    }
}

#[test]
fn predict_prints_a_table_and_goes_on_after_a_bad_picture() {
    let output = run(&["predict", "tiny_ce", "Cargo.toml", golden_picture().to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1), "a picture failed");
    let table = text(&output.stdout);
    assert!(table.contains("unsupported_image"), "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with("  0.")).count(), 3, "{table}");
}

#[test]
fn inspect_tells_what_runs() {
    let output = run(&["inspect", "tiny_ce"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    for expected in ["CE blocks", "native kernel", "4 blocked", "CPUExecutionProvider", "shorter_side", "reproduced"] {
        assert!(report.contains(expected), "{expected} is missing in\n{report}");
    }
}

/// ONNX Runtime's own telemetry keeps its identity of the machine in the user's cache.
#[test]
fn nothing_is_told_of_the_machine() {
    let home = tempfile::tempdir().expect("a folder");
    let output = program()
        .args(["inspect", "tiny_ce"])
        .env_remove("ORT_DISABLE_TELEMETRY")
        .env("HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written: Vec<_> =
        std::fs::read_dir(home.path()).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    assert!(written.is_empty(), "{written:?}");
}

/// What other programs make of the file is seen in `python/tests/test_ops_library.py`.
#[test]
fn a_planned_network_is_written_for_other_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("planned.onnx");
    let output = run(&["plan", "tiny_ce", "--output", file.to_str().expect("text")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("planned.onnx") && told.contains("4 blocked"), "{told}");
    let written = std::fs::read(&file).expect("the file is there");
    let holds = |name: &str| written.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(holds("BlockedChannelEquilibrium") && holds("com.microsoft.nchwc"));

    let nowhere = folder.path().join("absent/planned.onnx");
    let output = run(&["plan", "tiny_ce", "--output", nowhere.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("absent/planned.onnx"), "{}", text(&output.stderr));
}

#[test]
fn the_golden_pair_is_reproduced_on_every_path() {
    for instructions in ["avx512", "avx2", "portable"] {
        for (plan, expected) in [
            ("on", "4 blocked (3 with the add, 4 with the ReLU after it, 1 with the convolution before it), 0 plain"),
            ("off", "none: "),
        ] {
            let output = run(&["inspect", "tiny_ce", "--instructions", instructions, "--plan", plan]);
            let report = text(&output.stdout);
            assert!(output.status.success(), "{instructions}, {plan}: {}", text(&output.stderr));
            assert!(report.contains("reproduced") && report.contains(expected), "{instructions}, {plan}: {report}");
            let portable = report.contains("native kernel (portable)");
            assert!(portable || instructions != "portable", "{report}");
        }
    }
}

#[test]
fn sigterm_lets_requests_in_flight_end() {
    const CLIENTS: usize = 40;
    let mut server = program()
        .args(["serve", "--http-addr", "127.0.0.1:0", "--single-port", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(server.stderr.take().expect("piped"));
    let address = listening_address(&mut log);
    let picture = std::fs::read(golden_picture()).expect("the picture is there");
    let (most, rest) = picture.split_at(picture.len() - 1);
    let head = format!("POST /classify HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", picture.len());
    // all but the last byte, so that every request is in flight when the signal comes
    let connections: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut connection = TcpStream::connect(&address).expect("it listens");
            connection.write_all(&[head.as_bytes(), most].concat()).expect("sent");
            connection
        })
        .collect();
    let killed = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let stopping = log.by_ref().lines().map_while(Result::ok).find(|line| line.contains("no connection is taken"));
    stopping.expect("it tells that it stops");
    assert!(TcpStream::connect(&address).is_err(), "the door is shut");
    for mut connection in connections {
        connection.write_all(rest).expect("sent");
        let mut reply = String::new();
        connection.read_to_string(&mut reply).expect("an orderly end");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_log_names_requests_and_its_filter_is_changed_by_a_call() {
    let mut server = program()
        .args(["serve", "--http-addr", "127.0.0.1:0", "--single-port", "--log-format", "json"])
        .args(["--model-control", "explicit"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(server.stderr.take().expect("piped"));
    let address = listening_address(&mut log);
    let ask = |method: &str, path: &str, id: &str| {
        let mut connection = TcpStream::connect(&address).expect("it listens");
        let names =
            format!("x-request-id: {id}\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{names}\r\n\r\n");
        connection.write_all(head.as_bytes()).expect("sent");
        let mut reply = String::new();
        connection.read_to_string(&mut reply).expect("answered");
        reply
    };
    assert!(ask("GET", "/v1/log", "first").contains(r#"{"filter":"ort=warn,info"}"#));
    assert!(ask("PUT", "/v1/log?filter=loud,,=", "second").starts_with("HTTP/1.1 400"));
    assert!(ask("PUT", "/v1/log?filter=warn", "third").starts_with("HTTP/1.1 200"));
    assert!(ask("GET", "/healthz", "silent").starts_with("HTTP/1.1 200"));
    assert!(ask("PUT", "/v1/log?filter=info", "last").contains(r#"{"filter":"info"}"#));
    let events = log.lines().map(|line| serde_json::from_str::<Value>(&line.expect("readable")).expect("a JSON line"));
    let mut named = Vec::new();
    for event in events.filter(|event| event["request_id"].is_string()) {
        assert_eq!(event["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        named.push(event["request_id"].as_str().expect("a name").to_owned());
        if event["request_id"] == "last" {
            break;
        }
    }
    assert_eq!(named, ["first", "second", "last"], "the third silenced itself and what came after");
    server.kill().expect("it ends");
    server.wait().expect("it ended");
}

#[test]
fn health_says_whether_a_server_is_ready() {
    let health = |address: &str| program().arg("health").env("CENET_HTTP_ADDR", address).output().expect("it starts");
    let empty = tempfile::tempdir().expect("a folder");
    for (models, status, expected) in [(repository(), 0, "is ready"), (empty.path().into(), 1, "isn't ready: no model")]
    {
        let mut server = program()
            .args(["serve", "--http-addr", "0.0.0.0:0", "--single-port", "--log-format", "json"])
            .args(["--model-control", "poll"])
            .env("CENET_MODEL_REPOSITORY", models)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(server.stderr.take().expect("piped"));
        let address = listening_address(&mut log);
        let output = health(&address);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
        server.kill().expect("it ends");
        server.wait().expect("it ended");
        let output = health(&address);
        assert_eq!(output.status.code(), Some(1), "nobody listens any more");
        assert!(text(&output.stderr).contains("no answer from 127.0.0.1"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_new_key_and_its_line_are_told_apart() {
    let output = run(&["key", "new", "camera", "--role", "infer,metrics", "--rate", "5"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (line, told) = (text(&output.stdout), text(&output.stderr));
    let key = told.split_once("cenet_").expect("the key").1.trim();
    let words: Vec<_> = line.split_whitespace().collect();
    assert!(matches!(words[..], ["camera", "infer+metrics", hash, "5/s"] if hash.len() == 64), "{line}");
    assert!(key.len() == 43 && !line.contains(key), "{line}");
}

#[test]
fn mistakes_are_told_plainly() {
    let cases: [(&[&str], i32, &str); 14] = [
        (&["serve", "--model-repository", "no/such/folder"], 1, "no/such/folder"),
        (&["serve", "--model-repository", "docs"], 1, "holds no model"),
        (&["serve", "--http-addr", "nowhere"], 2, "--http-addr"),
        (&["serve", "--grpc-addr", "nowhere"], 2, "--grpc-addr"),
        (&["serve", "--log", "info,=,"], 1, "--log"),
        (&["serve", "--otlp-endpoint", "localhost"], 2, "http://HOST:PORT"),
        (&["serve", "--trace-sampling", "1.5"], 2, "from 0 to 1"),
        (&["serve", "--tls-cert", "cert.pem"], 2, "--tls-key"),
        (
            &["serve", "--http-addr", "127.0.0.1:0", "--single-port", "--tls-cert", "no.pem", "--tls-key", "no.pem"],
            1,
            "no.pem",
        ),
        (&["serve", "--http-addr", "127.0.0.1:0", "--single-port", "--api-keys-file", "no/keys"], 1, "no/keys"),
        (&["serve", "--http-addr", "127.0.0.1:0", "--single-port", "--api-keys", "secret"], 1, "NAME ROLE"),
        (&["key", "new", "no name"], 2, "letters"),
        (&["inspect", "nobody"], 1, "nobody"),
        (&["predict", "tiny_ce"], 2, "<IMAGE>"),
    ];
    for (arguments, status, expected) in cases {
        let output = run(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

#[test]
fn without_onnx_runtime_the_program_says_what_to_do() {
    let output = program().args(["inspect", "tiny_ce"]).env("ORT_DYLIB_PATH", "no/such/library.so").output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such/library.so"), "{}", text(&output.stderr));
}
