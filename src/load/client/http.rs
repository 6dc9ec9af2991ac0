//! `/classify` and `/detect` over HTTP/1.1.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Failure, Question, Target, authority};
use crate::manifest::Task;

/// A server over HTTP.
#[derive(Debug)]
pub struct HttpTarget {
    authority: String,
    path: Uri,
    headers: HeaderMap,
    question: Question,
}

/// What a failure says of itself, below `/v2` too.
#[derive(Deserialize)]
struct Told {
    code: String,
}

impl HttpTarget {
    /// The server at `url`.
    ///
    /// # Errors
    /// When the URL, the model's name or a header can't be one.
    pub fn new(url: &Uri, question: Question) -> Result<Self, String> {
        let authority = authority(url)?;
        let route = match question.task {
            Task::Classify => "classify",
            Task::Detect => "detect",
        };
        let model = question.model.as_ref().map(|name| format!("?model={name}")).unwrap_or_default();
        let path = format!("{}/{route}{model}", url.path().trim_end_matches('/'));
        let path = path.parse().map_err(|error| format!("{path}: {error}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(&authority).map_err(|error| error.to_string())?);
        for (name, value) in &question.headers {
            let wrong = |error: &dyn std::fmt::Display| format!("header {name:?}: {error}");
            let name = HeaderName::try_from(name).map_err(|error| wrong(&error))?;
            headers.append(name, HeaderValue::try_from(value).map_err(|error| wrong(&error))?);
        }
        Ok(Self { authority, path, headers, question })
    }

    fn request(&self, number: usize) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.question.picture(number)));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Target for HttpTarget {
    type Connection = SendRequest<Full<Bytes>>;

    async fn connect(&self) -> Result<Self::Connection, Failure> {
        let stream = TcpStream::connect(&self.authority).await.map_err(Failure::connection)?;
        stream.set_nodelay(true).map_err(Failure::connection)?;
        let (client, connection) = handshake(TokioIo::new(stream)).await.map_err(Failure::connection)?;
        // it ends when the client is dropped
        tokio::spawn(connection);
        Ok(client)
    }

    async fn ask(&self, connection: &mut Self::Connection, number: usize) -> Result<(), Failure> {
        // the server may have said goodbye, or have had enough of an idle client
        if connection.ready().await.is_err() {
            *connection = self.connect().await?;
        }
        let answer = connection.send_request(self.request(number)).await.map_err(Failure::connection)?;
        read(answer).await
    }
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<(), Failure> {
    let status = answer.status();
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    let body = answer.into_body().collect().await.map_err(Failure::connection)?.to_bytes();
    match (status, is_json) {
        (StatusCode::OK, true) => return Ok(()),
        // another server's, or the gRPC port's
        (StatusCode::OK, false) => return Err(Failure { code: "the answer is no JSON".into(), broken: false }),
        _ => {}
    }
    let told = serde_json::from_slice(&body).map(|told: Told| told.code);
    Err(Failure { code: told.unwrap_or_else(|_| format!("http {}", status.as_u16())), broken: false })
}
