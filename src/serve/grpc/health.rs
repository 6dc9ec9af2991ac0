//! `grpc.health.v1.Health`: the whole server and each of its services are as ready as the engine says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::stream::stopping;
use crate::infer::Engine;

/// How often a watched server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Tells whether traffic is wanted.
pub(super) struct Service {
    engine: Arc<Engine>,
    /// The services' full names.
    services: Vec<String>,
}

type Watch = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Service {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("no such service is served"));
        }
        Ok(Response::new(told(readiness(&self.engine))))
    }

    type WatchStream = Watch;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let watched =
            Watched { engine: Arc::clone(&self.engine), known: self.knows(&request.get_ref().service), last: None };
        let statuses = try_unfold(watched, async |mut watched| {
            let status = watched.change().await?;
            Ok(Some((told(status), watched)))
        });
        Ok(Response::new(Box::pin(statuses)))
    }
}

impl Service {
    /// Tells of `services` and, under the empty name, of all.
    pub(super) fn new(engine: Arc<Engine>, services: Vec<String>) -> Self {
        Self { engine, services }
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|known| known == service)
    }
}

fn readiness(engine: &Engine) -> ServingStatus {
    engine.check_ready().map_or(ServingStatus::NotServing, |()| ServingStatus::Serving)
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// What somebody watches, and what he was told last.
struct Watched {
    engine: Arc<Engine>,
    known: bool,
    last: Option<ServingStatus>,
}

impl Watched {
    fn status(&self) -> ServingStatus {
        if self.known { readiness(&self.engine) } else { ServingStatus::ServiceUnknown }
    }

    /// The next status that isn't the last one told; an error once nothing new is taken.
    async fn change(&mut self) -> Result<ServingStatus, Status> {
        let shutdown = &self.engine.shutdown;
        while self.last == Some(self.status()) {
            tokio::select! {
                () = shutdown.draining() => return Err(stopping()),
                () = shutdown.begun(), if !shutdown.has_begun() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        let status = self.status();
        self.last = Some(status);
        Ok(status)
    }
}
