//! A client's connection: HTTP/1.1 in the fewest steps, so that the server is what is measured.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reply: Vec::with_capacity(4096) })
    }

    /// Sends a whole request, reads the whole answer, and tells its status.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.reply.clear();
        let length = loop {
            if let Some(length) = reply_length(&self.reply) {
                break length;
            }
            self.read_some().await?;
        };
        while self.reply.len() < length {
            self.read_some().await?;
        }
        let status = std::str::from_utf8(&self.reply[9..12]).ok().and_then(|text| text.parse().ok());
        status.ok_or_else(|| io::Error::other("the answer has no status"))
    }

    async fn read_some(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.reply).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Bytes of the whole answer, once its head is there.
fn reply_length(reply: &[u8]) -> Option<usize> {
    let head = reply.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&reply[..head]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    Some(head + length.trim().parse::<usize>().ok()?)
}
