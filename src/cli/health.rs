//! `cenet-serve health`: asks a running server whether it is ready, as a container's health check does.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

use super::Failure;
use super::known_server::encrypt;

/// Bytes of an answer that are read at most: `/readyz` says little.
const ANSWER_BYTES: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct HealthOptions {
    /// Where the server listens for HTTP; an address that means all of them is asked at loopback
    #[arg(long, env = "CENET_HTTP_ADDR", value_name = "ADDR", default_value = "127.0.0.1:8000")]
    http_addr: SocketAddr,

    /// The server's own certificate, where it speaks TLS; it is asked by TLS then
    #[arg(long, env = "CENET_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// Milliseconds that connecting, and each silence of the server after it, may take
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
}

/// What a server that isn't ready says about it.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Succeeds when the server is ready; whatever else it is, and if it isn't there, is a failure.
pub(super) fn run(options: &HealthOptions) -> Result<ExitCode, Failure> {
    let address = reachable(options.http_addr);
    let answer = ask(address, options.tls_cert.as_deref(), Duration::from_millis(options.timeout_ms))
        .map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        let reason = serde_json::from_str(body).map_or_else(|_| status.to_owned(), |problem: Problem| problem.detail);
        return Err(format!("the server at {address} isn't ready: {reason}").into());
    }
    writeln!(io::stdout(), "the server at {address} is ready")?;
    Ok(ExitCode::SUCCESS)
}

/// Where a server that listens at `address` can be asked from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr, tls_cert: Option<&Path>, timeout: Duration) -> io::Result<String> {
    let connection = TcpStream::connect_timeout(&address, timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    match tls_cert {
        None => converse(connection, address),
        Some(file) => converse(encrypt(connection, file)?, address),
    }
}

fn converse(mut connection: impl Read + Write, address: SocketAddr) -> io::Result<String> {
    write!(connection, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}
