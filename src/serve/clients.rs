//! Everybody who is connected, by whichever door, and how many they may be.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::connection::{self, Patience};
use super::doors::Door;
use super::tls::Tls;
use super::turn_away;
use crate::error::Rejection;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// The pause after a connection could not be accepted, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everybody who is connected.
pub(super) struct Clients {
    patience: Patience,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    tasks: TaskTracker,
}

impl Clients {
    /// Nobody yet; at most `most` at once.
    pub(super) fn new(patience: Patience, most: u32, metrics: Arc<Metrics>, shutdown: Shutdown) -> Self {
        Self { patience, places: Arc::new(Semaphore::new(most as usize)), metrics, shutdown, tasks: TaskTracker::new() }
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Lets in whoever comes by one of `doors`, for ever. There is at least one.
    pub(super) async fn accept(&self, doors: &[Door]) -> Infallible {
        select_all(doors.iter().map(|door| Box::pin(self.accept_at(door)))).await.0
    }

    async fn accept_at(&self, door: &Door) -> Infallible {
        loop {
            match door.listener.accept().await {
                Ok((stream, _)) => self.welcome(stream, door.tls.clone(), door.app.clone()),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, tls: Option<Arc<Tls>>, app: axum::Router) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.record_rejection(Rejection::Connections);
            self.tasks.spawn(turn_away::tell(stream));
            return;
        };
        let serving = connection::serve(stream, tls, app, self.patience, self.shutdown.clone());
        self.tasks.spawn(async move {
            serving.await;
            drop(place);
        });
    }

    /// Takes who has connected already, before the doors are shut.
    pub(super) fn accept_the_last(&self, doors: Vec<Door>) -> io::Result<()> {
        for Door { listener, tls, app } in doors {
            let listener = listener.into_std()?;
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                self.welcome(TcpStream::from_std(stream)?, tls.clone(), app.clone());
            }
        }
        Ok(())
    }

    /// Ends when the last has gone.
    pub(super) async fn gone(&self) {
        self.shutdown.drain();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
