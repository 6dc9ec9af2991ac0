//! Clients of one server, each on a connection of its own: closed loop, or as many as it takes for a given rate.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::Connection;

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) latency: Duration,
}

/// Asks over `connection` and takes the time.
async fn timed(connection: &mut Connection, request: &[u8]) -> io::Result<Outcome> {
    let started = Instant::now();
    let status = connection.ask(request).await?;
    Ok(Outcome { status, latency: started.elapsed() })
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
                outcomes.push(timed(&mut connection, &requests[next % requests.len()]).await?);
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
            let outcome = timed(&mut connection, &requests[number % requests.len()]).await?;
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
