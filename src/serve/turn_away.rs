//! What a client is told that is one too many: a whole answer, without its request having been read.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::status::Problem;
use crate::error::{ErrorKind, InferError};

/// How long a client gets to take it.
const TELLING: Duration = Duration::from_secs(1);

/// Tells the client by HTTP/1.1, which it understands or not, that it should come again, and hangs up. Speakers of TLS and of HTTP/2
/// see a connection that ends.
pub(super) async fn tell(mut stream: TcpStream) {
    let telling = async {
        stream.write_all(answer().as_bytes()).await?;
        stream.shutdown().await
    };
    // whether it listens is its own affair
    let _ = tokio::time::timeout(TELLING, telling).await;
}

fn answer() -> String {
    let error = InferError::new(ErrorKind::Unavailable, "as many clients are connected as may be; come again");
    let body = serde_json::to_string(&Problem::from(error)).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
