//! Both faces over TLS: certificates that change under way, clients' certificates, and what is refused for being too old.

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cenet_serve::model::Repository;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use support::grpc::{Running, best, classify};
use support::{MeanColor, blue_png, model};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
struct Identity {
    cert: CertificateDer<'static>,
    key: Vec<u8>,
    cert_pem: String,
    key_pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let cert = params.signed_by(&key, &self.0).expect("signed");
        Identity {
            cert: cert.der().clone(),
            key: key.serialize_der(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

/// The files that a server is started with.
struct Files(TempDir);

impl Files {
    fn new(identity: &Identity) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.put(identity);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, identity: &Identity) {
        std::fs::write(self.path("key.pem"), &identity.key_pem).expect("written");
        std::fs::write(self.path("cert.pem"), &identity.cert_pem).expect("written");
    }

    async fn serve(&self, further: &[&str]) -> Running {
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| self.path(name).to_str().expect("text").to_owned());
        let arguments = [&["--tls-cert", &cert, "--tls-key", &key], further].concat();
        Running::start(Repository::of(model("colors", MeanColor, 8)), &arguments).await
    }
}

fn client(trusted: &Authority, own: Option<Identity>, protocol: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.0.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key, .. }) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
            builder.with_client_auth_cert(vec![cert], key).expect("a certificate")
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, address: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// What `GET /healthz` answers.
async fn healthz(connector: &TlsConnector, server: &Running) -> std::io::Result<String> {
    let mut stream = connect(connector, server.http).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn channel(connector: TlsConnector, server: &Running) -> Channel {
    let address = server.grpc;
    let connect = service_fn(move |_| {
        let connector = connector.clone();
        async move { connect(&connector, address).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connect).await.expect("it listens")
}

#[tokio::test]
async fn both_faces_speak_tls_and_nothing_else() {
    let authority = Authority::new("somebody");
    let files = Files::new(&authority.sign("localhost"));
    let server = files.serve(&[]).await;
    let answer = healthz(&client(&authority, None, b"http/1.1"), &server).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let channel = channel(client(&authority, None, b"h2"), &server).await;
    let answer = VisionClient::new(channel).classify(classify(&[&blue_png()])).await.expect("answered");
    assert_eq!(best(answer.get_ref()), ["blue"]);
    for address in [server.http, server.grpc] {
        let mut plain = TcpStream::connect(address).await.expect("it listens");
        plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let mut answer = Vec::new();
        // the server may hang up before it has read all
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "what isn't encrypted is not answered");
    }
    let others = Files::new(&authority.sign("localhost"));
    for (files, expected) in [(&files, Some(0)), (&others, Some(1))] {
        let mut health = Command::new(env!("CARGO_BIN_EXE_cenet-serve"));
        health.arg("health").arg("--http-addr").arg(server.http.to_string());
        health.arg("--tls-cert").arg(files.path("cert.pem"));
        let output = tokio::task::spawn_blocking(move || health.output()).await.expect("no panic").expect("it starts");
        assert_eq!(output.status.code(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
    server.signals.send(()).expect("the server runs");
    server.ended.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn only_clients_with_a_good_certificate_are_let_in_where_that_is_asked() {
    let (authority, stranger) = (Authority::new("somebody"), Authority::new("another"));
    let files = Files::new(&authority.sign("localhost"));
    std::fs::write(files.path("ca.pem"), authority.0.pem()).expect("written");
    let server = files.serve(&["--tls-client-ca", files.path("ca.pem").to_str().expect("text")]).await;
    let known = client(&authority, Some(authority.sign("camera")), b"http/1.1");
    assert!(healthz(&known, &server).await.expect("let in").starts_with("HTTP/1.1 200"));
    for own in [None, Some(stranger.sign("camera"))] {
        healthz(&client(&authority, own, b"http/1.1"), &server).await.expect_err("turned away");
    }
    server.ended.abort();
}

#[tokio::test]
async fn a_certificate_that_changes_is_taken_over_and_a_broken_one_is_not() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let files = Files::new(&before.sign("localhost"));
    let server = files.serve(&[]).await;
    let [old, new] = [&before, &after].map(|authority| client(authority, None, b"http/1.1"));
    let mut open = connect(&old, server.http).await.expect("it listens");
    std::fs::write(files.path("cert.pem"), "no certificate").expect("written");
    healthz(&old, &server).await.expect("the one of before is in force");
    files.put(&after.sign("localhost"));
    while healthz(&new, &server).await.is_err() {
        tokio::task::yield_now().await;
    }
    healthz(&old, &server).await.expect_err("another's now");
    open.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.expect("who is connected stays so");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.ended.abort();
}

/// What `hello` offers beside: X25519 and P-256, and signatures of ECDSA and RSA.
const EXTENSIONS: [u8; 24] = [0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17, 0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 4, 1, 2, 1];

/// A client's hello, for `version` at most, with these cipher suites.
fn hello(version: [u8; 2], suites: &[[u8; 2]]) -> Vec<u8> {
    let suites = suites.concat();
    let head = [&version[..], &[7; 32], &[0], &[0, suites.len() as u8], &suites, &[1, 0]].concat();
    let body = [&head[..], &[0, EXTENSIONS.len() as u8], &EXTENSIONS].concat();
    let message = [&[1, 0, 0, body.len() as u8], &body[..]].concat();
    [&[22, 3, 1, 0, message.len() as u8], &message[..]].concat()
}

#[tokio::test]
async fn old_protocols_and_ciphers_are_refused() {
    const PROTOCOL_VERSION: u8 = 70;
    const HANDSHAKE_FAILURE: u8 = 40;
    let files = Files::new(&Authority::new("somebody").sign("localhost"));
    let server = files.serve(&[]).await;
    let forward_secret = [[0xc0, 0x2b], [0xc0, 0x2f]];
    // RC4, 3DES, CBC without and with forward secrecy, GCM without
    let weak = [[0, 0x05], [0, 0x0a], [0, 0x2f], [0xc0, 0x13], [0xc0, 0x27], [0, 0x9c]];
    let mut good = TcpStream::connect(server.http).await.expect("it listens");
    good.write_all(&hello([3, 3], &forward_secret)).await.expect("sent");
    assert_eq!(good.read_u8().await.expect("answered"), 22, "the same hello with all that is needed is taken up");
    let cases = [
        ([3, 0], &forward_secret[..], PROTOCOL_VERSION),
        ([3, 1], &forward_secret[..], PROTOCOL_VERSION),
        ([3, 2], &forward_secret[..], PROTOCOL_VERSION),
        ([3, 3], &weak[..], HANDSHAKE_FAILURE),
    ];
    for (version, suites, alert) in cases {
        let mut stream = TcpStream::connect(server.http).await.expect("it listens");
        stream.write_all(&hello(version, suites)).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an orderly end");
        assert_eq!((answer.first(), answer.last()), (Some(&21), Some(&alert)), "{version:?}: {answer:?}");
    }
    server.ended.abort();
}

/// What an operator can ask any server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ports_pass_the_script_that_asks_for_old_weaknesses() {
    let files = Files::new(&Authority::new("somebody").sign("localhost"));
    let secure = files.serve(&[]).await;
    let plain = Running::start(Repository::of(model("colors", MeanColor, 8)), &[]).await;
    let ask = |places: [std::net::SocketAddr; 2]| {
        let mut script = Command::new("python3");
        script.arg("scripts/check_tls.py").args(places.map(|place| place.to_string()));
        tokio::task::block_in_place(|| script.output()).expect("python3 is there")
    };
    let told = ask([secure.http, secure.grpc]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    let told = ask([plain.http, plain.grpc]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("NO   TLSv1_3 carries h2"), "no TLS is no good TLS");
    assert_eq!(told.status.code(), Some(1));
    secure.ended.abort();
    plain.ended.abort();
}
