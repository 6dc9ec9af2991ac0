//! `cenet.v1.Vision`: pictures in, labels or boxes out.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::super::state::AppState;
use super::call::Call;
use super::messages::Ask;
use super::proto::vision::vision_server::Vision;
use super::proto::vision::{
    ClassifyReply, ClassifyRequest, ClassifyResponse, DetectReply, DetectRequest, DetectResponse,
};
use super::stream::answered;
use crate::deadline::Deadline;
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::Engine;
use crate::request::{InferResponse, Terms};

/// Asks the engine.
pub(super) struct Service {
    engine: Arc<Engine>,
    /// Requests of one stream that are in flight at once.
    stream_in_flight: usize,
}

type Answered<T> = std::result::Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Vision for Service {
    async fn classify(&self, request: Request<ClassifyRequest>) -> Answered<ClassifyResponse> {
        self.answer(request).await
    }

    async fn detect(&self, request: Request<DetectRequest>) -> Answered<DetectResponse> {
        self.answer(request).await
    }

    type ClassifyStreamStream = Replies<ClassifyReply>;

    async fn classify_stream(
        &self,
        request: Request<Streaming<ClassifyRequest>>,
    ) -> Answered<Self::ClassifyStreamStream> {
        self.answer_stream(request)
    }

    type DetectStreamStream = Replies<DetectReply>;

    async fn detect_stream(&self, request: Request<Streaming<DetectRequest>>) -> Answered<Self::DetectStreamStream> {
        self.answer_stream(request)
    }
}

impl Service {
    /// Over the state's engine.
    pub(super) fn new(state: &AppState) -> Self {
        Self { engine: Arc::clone(&state.engine), stream_in_flight: state.stream_in_flight }
    }

    async fn answer<A: Ask>(&self, request: Request<A>) -> Answered<A::Answer> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let id = request.id().to_owned();
        let response = ask(&self.engine, request, &call, call.deadline.clone()).await?;
        Ok(Response::new(A::answer(id, response)))
    }

    fn answer_stream<A: Ask>(&self, request: Request<Streaming<A>>) -> Answered<Replies<A::Reply>> {
        let call = Call::of(&request)?;
        let (engine, terms) = (Arc::clone(&self.engine), call.clone());
        let answer = move |request: A| {
            let (engine, call) = (Arc::clone(&engine), terms.clone());
            async move {
                let id = request.id().to_owned();
                let deadline = engine.deadline(None);
                let response = ask(&engine, request, &call, deadline).await;
                A::reply(id.clone(), response.map(|response| A::answer(id, response)))
            }
        };
        let replies = answered(&self.engine, call, request.into_inner(), self.stream_in_flight, answer);
        Ok(Response::new(Box::pin(replies)))
    }
}

async fn ask<A: Ask>(engine: &Engine, request: A, call: &Call, deadline: Deadline) -> Result<InferResponse> {
    if request.images().iter().any(Bytes::is_empty) {
        return Err(InferError::new(ErrorKind::EmptyBody, "an image of the request is empty"));
    }
    let bytes = request.images().iter().map(|image| image.len() as u64).sum();
    let body = Some(engine.take_memory(bytes)?);
    let terms = Terms { deadline, priority: call.priority, body, trace: call.trace.clone(), asked: call.asked.clone() };
    engine.infer(request.into_infer(terms)?).await
}
