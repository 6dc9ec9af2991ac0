//! What a face can cost at least: the same frameworks, answering with what they were sent.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use cenet_serve::serve::grpc::proto::inference::{ModelInferRequest, ModelInferResponse};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// An axum server that answers a body with itself.
pub(crate) async fn http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let routes = Router::new().route("/{*path}", post(async |body: Bytes| body));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).expect("a socket"));
    tokio::spawn(async { axum::serve(listener, routes).await });
    address
}

/// A tonic server that answers `ModelInfer` with the tensors that it was sent.
pub(crate) async fn grpc() -> SocketAddr {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port").with_nodelay(Some(true));
    let address = incoming.local_addr().expect("an address");
    tokio::spawn(Server::builder().add_service(Echo).serve_with_incoming(incoming));
    address
}

/// `inference.GRPCInferenceService`, of which only `ModelInfer` is asked.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "inference.GRPCInferenceService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(Self, request).await) })
    }
}

impl UnaryService<ModelInferRequest> for Echo {
    type Response = ModelInferResponse;
    type Future = Ready<Result<Response<ModelInferResponse>, Status>>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let ModelInferRequest { model_name, id, raw_input_contents, .. } = request.into_inner();
        let answer =
            ModelInferResponse { model_name, id, raw_output_contents: raw_input_contents, ..Default::default() };
        ready(Ok(Response::new(answer)))
    }
}
