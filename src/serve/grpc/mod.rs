//! The gRPC face: which method is answered by what. It translates and decides nothing, as the HTTP face.

mod call;
mod failure;
mod health;
mod inference;
mod messages;
pub mod proto;
mod stream;
mod vision;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use self::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use self::proto::vision::vision_server::VisionServer;
use super::state::AppState;
use crate::error::{ErrorKind, InferError};

/// The descriptors of every service that is served.
const DESCRIPTORS: [&[u8]; 4] = [
    proto::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Every method of gRPC, each a path of its own.
pub(super) fn routes(state: &AppState) -> Router {
    let vision = VisionServer::new(vision::Service::new(state)).max_decoding_message_size(state.max_body_bytes);
    let inference = GrpcInferenceServiceServer::new(inference::Service::new(state));
    let inference = inference.max_decoding_message_size(state.max_body_bytes);
    // the limit is of what is unpacked
    let inference =
        inference.accept_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Deflate);
    let inference = inference.send_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Deflate);
    let health = HealthServer::new(health::Service::new(Arc::clone(&state.engine), service_names()));
    let methods = Methods(Router::new()).with(vision).with(inference).with(health);
    let methods = methods.with(reflection().build_v1().expect("the descriptors are whole"));
    let Methods(routes) = methods.with(reflection().build_v1alpha().expect("the descriptors are whole"));
    routes
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state.engine), call::bound))
        // a defect in a handler is one call's INTERNAL
        .route_layer(CatchPanicLayer::custom(|_| {
            failed(InferError::new(ErrorKind::Internal, "the server failed on this request; please report it"))
        }))
}

/// What is answered where no method is served.
pub(super) async fn unimplemented() -> Response {
    failed(InferError::new(ErrorKind::RouteNotFound, "no such method is served; reflection lists those that are"))
}

/// A failure as an answer that has no message.
pub(super) fn failed(error: InferError) -> Response {
    Status::from(error).into_http()
}

fn reflection() -> Builder<'static> {
    DESCRIPTORS[..2].iter().fold(Builder::configure(), |builder, set| builder.register_encoded_file_descriptor_set(set))
}

/// Routes for services' methods.
struct Methods(Router);

impl Methods {
    /// Adds a route for each method of `service`, so that what is counted by route is counted by method.
    fn with<S>(self, service: S) -> Self
    where
        S: Service<Request, Response = axum::http::Response<tonic::body::Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = tower::ServiceExt::map_response(service, |response| response.map(Body::new).into_response());
        let add = |routes: Router, path: String| routes.route_service(&path, service.clone());
        Self(method_paths(S::NAME).into_iter().fold(self.0, add))
    }
}

fn descriptors() -> impl Iterator<Item = FileDescriptorSet> {
    DESCRIPTORS.iter().map(|set| FileDescriptorSet::decode(*set).expect("descriptors are made when this is built"))
}

/// The paths of a service's methods.
fn method_paths(service: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for file in descriptors().flat_map(|set| set.file) {
        for described in &file.service {
            if format!("{}.{}", file.package(), described.name()) == service {
                paths.extend(described.method.iter().map(|method| format!("/{service}/{}", method.name())));
            }
        }
    }
    paths
}

/// The full names of all services.
fn service_names() -> Vec<String> {
    let files = descriptors().flat_map(|set| set.file);
    let names = |file: prost_types::FileDescriptorProto| {
        file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())).collect::<Vec<_>>()
    };
    files.flat_map(names).collect()
}
