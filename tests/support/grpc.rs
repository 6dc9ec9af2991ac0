//! gRPC clients of a service without a socket, and of one that listens.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use cenet_serve::serve::grpc::proto::vision::{ClassifyRequest, ClassifyResponse, classify_result};
use cenet_serve::serve::{self, AppState, Listeners, grpc_app};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;

use super::{config, limits};

/// The gRPC service without a socket.
pub fn grpc_service(engine: &Arc<Engine>) -> Router {
    grpc_app(&AppState::new(Arc::clone(engine), &limits()))
}

pub fn vision(engine: &Arc<Engine>) -> VisionClient<Router> {
    VisionClient::new(grpc_service(engine))
}

/// The stable code that a status carries.
pub fn error_code(status: &Status) -> &str {
    status.metadata().get("cenet-error-code").map_or("none", |code| code.to_str().expect("text"))
}

pub fn classify(images: &[&[u8]]) -> ClassifyRequest {
    let images = images.iter().map(|image| image.to_vec().into()).collect();
    ClassifyRequest { images, ..ClassifyRequest::default() }
}

/// The best label of each picture, or its error's code.
pub fn best(response: &ClassifyResponse) -> Vec<&str> {
    let outcomes = response.results.iter().filter_map(|result| result.outcome.as_ref());
    let best = outcomes.map(|outcome| match outcome {
        classify_result::Outcome::Classification(found) => found.predictions[0].label.as_str(),
        classify_result::Outcome::Error(error) => error.code.as_str(),
    });
    best.collect()
}

/// A server that listens.
pub struct Running {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub signals: UnboundedSender<()>,
    pub ended: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts a server as the command line would with `arguments`; both faces at one address where they say so.
    pub async fn start(models: Repository, arguments: &[&str]) -> Self {
        let config = config(arguments);
        let engine = Engine::new(models, &config.limits).expect("threads");
        let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listeners =
            Listeners { http: bind().await, grpc: if config.server.single_port { None } else { Some(bind().await) } };
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let http = address(&listeners.http);
        let grpc = listeners.grpc.as_ref().map_or(http, address);
        let (signals, mut received) = unbounded_channel();
        let ended = tokio::spawn(async move {
            let signals = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
            serve::run(&config, engine, listeners, signals).await
        });
        Self { http, grpc, signals, ended }
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).expect("a URL");
        endpoint.connect().await.expect("it listens")
    }
}
