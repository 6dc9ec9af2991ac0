//! Everybody who is connected, by whichever door.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::connection::{self, Patience};
use super::doors::Door;
use super::tls::Tls;
use crate::shutdown::Shutdown;

/// The pause after a connection could not be accepted, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everybody who is connected.
pub(super) struct Clients {
    patience: Patience,
    shutdown: Shutdown,
    tasks: TaskTracker,
}

impl Clients {
    /// Nobody yet.
    pub(super) fn new(patience: Patience, shutdown: Shutdown) -> Self {
        Self { patience, shutdown, tasks: TaskTracker::new() }
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
        self.tasks.spawn(connection::serve(stream, tls, app, self.patience, self.shutdown.clone()));
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
