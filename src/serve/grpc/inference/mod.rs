//! `inference.GRPCInferenceService`: the Open Inference Protocol, as `/v2` speaks it over HTTP.

mod tell;
mod tensors;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use self::tensors::{Hurry, answer, parse};
use super::super::incoming::hurry;
use super::super::state::AppState;
use super::call::Call;
use super::proto::inference as wire;
use super::proto::inference::grpc_inference_service_server::GrpcInferenceService;
use super::stream::answered;
use crate::deadline::Deadline;
use crate::error::{ErrorKind, Result};
use crate::infer::Engine;
use crate::oip::{ServerMetadata, TensorResponse, refuse_parameters};
use crate::request::Terms;

/// Asks the engine.
pub(super) struct Service {
    engine: Arc<Engine>,
    /// Requests of one stream that are in flight at once.
    stream_in_flight: usize,
}

type Answered<T> = std::result::Result<Response<T>, Status>;
type Replies = Pin<Box<dyn Stream<Item = std::result::Result<wire::ModelStreamInferResponse, Status>> + Send>>;

impl Service {
    /// Over the state's engine.
    pub(super) fn new(state: &AppState) -> Self {
        Self { engine: Arc::clone(&state.engine), stream_in_flight: state.stream_in_flight }
    }
}

/// An empty text names nothing.
fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<wire::ServerLiveRequest>) -> Answered<wire::ServerLiveResponse> {
        Ok(Response::new(wire::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<wire::ServerReadyRequest>) -> Answered<wire::ServerReadyResponse> {
        Ok(Response::new(wire::ServerReadyResponse { ready: self.engine.check_ready().is_ok() }))
    }

    async fn model_ready(&self, request: Request<wire::ModelReadyRequest>) -> Answered<wire::ModelReadyResponse> {
        let wire::ModelReadyRequest { name, version } = request.get_ref();
        let ready = match self.engine.check_model_ready(name, named(version)) {
            Ok(()) => true,
            Err(error) if matches!(error.kind, ErrorKind::ModelNotFound | ErrorKind::Unavailable) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(wire::ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<wire::ServerMetadataRequest>) -> Answered<wire::ServerMetadataResponse> {
        Ok(Response::new(ServerMetadata::new().into()))
    }

    async fn model_metadata(
        &self,
        request: Request<wire::ModelMetadataRequest>,
    ) -> Answered<wire::ModelMetadataResponse> {
        let wire::ModelMetadataRequest { name, version } = request.get_ref();
        Ok(Response::new(self.engine.model_metadata(name, named(version))?.into()))
    }

    async fn model_config(&self, request: Request<wire::ModelConfigRequest>) -> Answered<wire::ModelConfigResponse> {
        let wire::ModelConfigRequest { name, version } = request.get_ref();
        let config = self.engine.model_metadata(name, named(version))?.into();
        Ok(Response::new(wire::ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(
        &self,
        request: Request<wire::ModelStatisticsRequest>,
    ) -> Answered<wire::ModelStatisticsResponse> {
        let wire::ModelStatisticsRequest { name, version } = request.get_ref();
        let models = self.engine.model_statistics(named(name), named(version))?;
        Ok(Response::new(wire::ModelStatisticsResponse { model_stats: models.into_iter().map(Into::into).collect() }))
    }

    async fn repository_index(
        &self,
        request: Request<wire::RepositoryIndexRequest>,
    ) -> Answered<wire::RepositoryIndexResponse> {
        let models = self.engine.index(request.get_ref().ready).into_iter().map(Into::into).collect();
        Ok(Response::new(wire::RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<wire::RepositoryModelLoadRequest>,
    ) -> Answered<wire::RepositoryModelLoadResponse> {
        let request = request.into_inner();
        refuse_parameters(request.parameters.keys())?;
        self.engine.load_model(&request.model_name, None).await?;
        Ok(Response::new(wire::RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<wire::RepositoryModelUnloadRequest>,
    ) -> Answered<wire::RepositoryModelUnloadResponse> {
        self.engine.unload_model(&request.get_ref().model_name, None).await?;
        Ok(Response::new(wire::RepositoryModelUnloadResponse {}))
    }

    async fn model_infer(&self, request: Request<wire::ModelInferRequest>) -> Answered<wire::ModelInferResponse> {
        let call = Call::of(&request)?;
        let response = ask(&self.engine, request.into_inner(), &call, call.deadline.clone()).await?;
        Ok(Response::new(answer(response)))
    }

    type ModelStreamInferStream = Replies;

    async fn model_stream_infer(&self, request: Request<Streaming<wire::ModelInferRequest>>) -> Answered<Replies> {
        let call = Call::of(&request)?;
        let (engine, terms) = (Arc::clone(&self.engine), call.clone());
        let reply = move |request: wire::ModelInferRequest| {
            let (engine, call) = (Arc::clone(&engine), terms.clone());
            async move {
                let id = request.id.clone();
                let deadline = engine.deadline(None);
                tensors::reply(id, ask(&engine, request, &call, deadline).await)
            }
        };
        let replies = answered(&self.engine, call, request.into_inner(), self.stream_in_flight, reply);
        Ok(Response::new(Box::pin(replies)))
    }
}

async fn ask(
    engine: &Engine,
    request: wire::ModelInferRequest,
    call: &Call,
    deadline: Deadline,
) -> Result<TensorResponse> {
    let body = Some(engine.take_memory(request.encoded_len() as u64)?);
    let mut terms =
        Terms { deadline, priority: call.priority, body, trace: call.trace.clone(), asked: call.asked.clone() };
    let Hurry { priority, timeout_us } = Hurry::of(&request.parameters)?;
    hurry(engine, &mut terms, priority, timeout_us);
    engine.infer_tensors(parse(request, terms)?).await
}
