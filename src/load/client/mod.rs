//! Whom a load is for, and how it is asked. The only part of the room that names hyper's and tonic's clients.

mod grpc;
mod http;

use bytes::Bytes;
pub use grpc::GrpcTarget;
pub use http::HttpTarget;
use hyper::Uri;

use crate::manifest::Task;

/// A server that can be asked by many at once.
pub trait Target: Send + Sync + 'static {
    /// One client's connection; one request at a time.
    type Connection: Send + 'static;

    /// Opens a connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Sends the request of that number, and waits for all of its answer.
    fn ask(&self, connection: &mut Self::Connection, number: usize)
    -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why a request wasn't answered well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The server's stable code, or what the connection met.
    pub code: String,
    /// Whether the connection is of no use any more.
    pub broken: bool,
}

impl Failure {
    fn connection(error: impl std::fmt::Display) -> Self {
        Self { code: format!("connection: {error}"), broken: true }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Labels or boxes.
    pub task: Task,
    /// The model's name; may be absent while one model serves the task.
    pub model: Option<String>,
    /// The pictures, one a request, by turns.
    pub pictures: Vec<Bytes>,
    /// Headers, or metadata, of each request.
    pub headers: Vec<(String, String)>,
}

impl Question {
    fn picture(&self, number: usize) -> Bytes {
        self.pictures[number % self.pictures.len()].clone()
    }
}

/// Host and port of a URL.
///
/// # Errors
/// When it has none, or isn't plain HTTP.
fn authority(url: &Uri) -> Result<String, String> {
    if url.scheme_str() != Some("http") {
        return Err(format!("{url} is no URL of plain HTTP, such as http://127.0.0.1:8000"));
    }
    let host = url.host().ok_or_else(|| format!("{url} names no host"))?;
    Ok(format!("{host}:{}", url.port_u16().unwrap_or(80)))
}
