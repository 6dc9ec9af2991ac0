//! Clients of one server, each on a connection of its own: closed loop, or as many as it takes for a given rate.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) latency: Duration,
}

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

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Outcome> {
        let started = Instant::now();
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
        let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
        Ok(Outcome { status, latency: started.elapsed() })
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

/// A request that posts `body` to `path`.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// `clients` that ask again as soon as they are answered, for `duration`.
pub(crate) async fn closed_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    clients: usize,
    duration: Duration,
) -> io::Result<Vec<Outcome>> {
    let end = Instant::now() + duration;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut outcomes = Vec::new();
            let mut next = client;
            while Instant::now() < end {
                outcomes.push(connection.ask(&requests[next % requests.len()]).await?);
                next += clients;
            }
            io::Result::Ok(outcomes)
        });
    }
    let mut all = Vec::new();
    while let Some(outcomes) = tasks.join_next().await {
        all.extend(outcomes.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// `rate_per_s` requests a second for `duration`, whether those before are answered or not.
pub(crate) async fn open_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    rate_per_s: f64,
    duration: Duration,
) -> io::Result<Vec<Outcome>> {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let total = (duration.as_secs_f64() * rate_per_s) as usize;
    for number in 0..total {
        let due = started + Duration::from_secs_f64(number as f64 / rate_per_s);
        tokio::time::sleep_until(due.into()).await;
        let (requests, idle) = (Arc::clone(requests), Arc::clone(&idle));
        tasks.spawn(async move {
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let outcome = connection.ask(&requests[number % requests.len()]).await?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            io::Result::Ok(outcome)
        });
    }
    let mut all = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        all.push(outcome.map_err(io::Error::other)??);
    }
    Ok(all)
}
