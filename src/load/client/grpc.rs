//! `cenet.v1.Vision` over gRPC, each client on a connection of its own.

use std::time::Duration;

use hyper::Uri;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{Failure, Question, Target, authority};
use crate::manifest::Task;
use crate::serve::grpc::proto::vision::vision_client::VisionClient;
use crate::serve::grpc::proto::vision::{ClassifyRequest, DetectRequest, classify_result, detect_result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most: boxes with masks are longer than tonic expects.
const ANSWER_BYTES: usize = 64 << 20;

/// A server over gRPC.
#[derive(Debug)]
pub struct GrpcTarget {
    endpoint: Endpoint,
    metadata: MetadataMap,
    question: Question,
}

impl GrpcTarget {
    /// The server at `url`.
    ///
    /// # Errors
    /// When the URL or a header can't be one.
    pub fn new(url: &Uri, question: Question) -> Result<Self, String> {
        let endpoint = format!("http://{}", authority(url)?);
        let endpoint = Endpoint::from_shared(endpoint).map_err(|error| format!("{url}: {error}"))?;
        let mut metadata = MetadataMap::new();
        for (name, value) in &question.headers {
            let wrong = |error: &dyn std::fmt::Display| format!("header {name:?}: {error}");
            let key: AsciiMetadataKey = name.to_ascii_lowercase().parse().map_err(|error| wrong(&error))?;
            metadata.append(key, AsciiMetadataValue::try_from(value.as_str()).map_err(|error| wrong(&error))?);
        }
        Ok(Self { endpoint: endpoint.tcp_nodelay(true).connect_timeout(CONNECT_TIMEOUT), metadata, question })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    async fn classify(&self, client: &mut VisionClient<Channel>, number: usize) -> Result<(), Failure> {
        let (images, model) = (vec![self.question.picture(number)], self.question.model.clone().unwrap_or_default());
        let request = self.request(ClassifyRequest { images, model, ..ClassifyRequest::default() });
        let answer = client.classify(request).await.map_err(|status| failure(&status))?.into_inner();
        match answer.results.into_iter().next().and_then(|result| result.outcome) {
            Some(classify_result::Outcome::Classification(_)) => Ok(()),
            Some(classify_result::Outcome::Error(error)) => Err(Failure { code: error.code, broken: false }),
            None => Err(no_result()),
        }
    }

    async fn detect(&self, client: &mut VisionClient<Channel>, number: usize) -> Result<(), Failure> {
        let (images, model) = (vec![self.question.picture(number)], self.question.model.clone().unwrap_or_default());
        let request = self.request(DetectRequest { images, model, ..DetectRequest::default() });
        let answer = client.detect(request).await.map_err(|status| failure(&status))?.into_inner();
        match answer.results.into_iter().next().and_then(|result| result.outcome) {
            Some(detect_result::Outcome::Detections(_)) => Ok(()),
            Some(detect_result::Outcome::Error(error)) => Err(Failure { code: error.code, broken: false }),
            None => Err(no_result()),
        }
    }
}

impl Target for GrpcTarget {
    type Connection = VisionClient<Channel>;

    async fn connect(&self) -> Result<Self::Connection, Failure> {
        let channel = self.endpoint.connect().await.map_err(|error| Failure::connection(innermost(&error)))?;
        Ok(VisionClient::new(channel).max_decoding_message_size(ANSWER_BYTES))
    }

    async fn ask(&self, client: &mut Self::Connection, number: usize) -> Result<(), Failure> {
        match self.question.task {
            Task::Classify => self.classify(client, number).await,
            Task::Detect => self.detect(client, number).await,
        }
    }
}

/// A status of the server's has its stable code; one without it is the connection's.
fn failure(status: &Status) -> Failure {
    match status.metadata().get("cenet-error-code").and_then(|code| code.to_str().ok()) {
        Some(code) => Failure { code: code.to_owned(), broken: false },
        None => Failure { code: format!("gRPC {:?}: {}", status.code(), status.message()), broken: true },
    }
}

fn no_result() -> Failure {
    Failure { code: "no result".into(), broken: false }
}

/// What went wrong at the bottom of it: "transport error" tells nobody.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}
