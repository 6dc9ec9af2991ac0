//! Finds the pictures in a request's body: the picture itself, a form with files, or JSON with base64.

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::openapi::{File, TINY_PICTURE};
use crate::error::{ErrorKind, InferError, Result};

/// The pictures of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pictures {
    /// Each picture's file.
    pub(super) images: Vec<Bytes>,
    /// Whether the answer is a list, even of one.
    pub(super) as_list: bool,
}

/// How a body holds its pictures, by its content type.
enum Encoding {
    Raw,
    Form,
    Json,
}

impl<S: Send + Sync> FromRequest<S> for Pictures {
    type Rejection = InferError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        match encoding(request.headers())? {
            Encoding::Raw => raw(read_all(request, state).await?),
            Encoding::Json => json(&read_all(request, state).await?),
            Encoding::Form => form(request, state).await,
        }
    }
}

/// Without a content type a body is the picture itself. So is one that is said to be a URL-encoded form: that is what
/// `curl --data-binary` says of every file.
fn encoding(headers: &HeaderMap) -> Result<Encoding> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Encoding::Raw) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/octet-stream" | "application/x-www-form-urlencoded" => Ok(Encoding::Raw),
        image if image.starts_with("image/") => Ok(Encoding::Raw),
        "multipart/form-data" => Ok(Encoding::Form),
        "application/json" => Ok(Encoding::Json),
        _ => Err(InferError::new(
            ErrorKind::UnsupportedMediaType,
            "send the picture as image/* or application/octet-stream, as multipart/form-data, or as application/json",
        )),
    }
}

/// The whole body.
///
/// # Errors
/// `PayloadTooLarge`, or `InvalidRequest` when it breaks off.
pub(super) async fn read_all<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|rejection| unreadable(rejection.into_response().status(), "the body broke off"))
}

/// Finds the pictures in a body that comes in `pieces`, as `POST /classify` does, for the fuzzer.
///
/// # Errors
/// As the route's.
#[cfg(fuzzing)]
pub async fn fuzz_pictures(content_type: &[u8], pieces: Vec<Bytes>) -> Result<Vec<Bytes>> {
    let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
    let mut request = Request::new(axum::body::Body::from_stream(pieces));
    if let Ok(value) = axum::http::HeaderValue::from_bytes(content_type) {
        request.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    Pictures::from_request(request, &()).await.map(|pictures| pictures.images)
}

fn raw(body: Bytes) -> Result<Pictures> {
    if body.is_empty() {
        return Err(empty_body());
    }
    Ok(Pictures { images: vec![body], as_list: false })
}

/// `{"image": base64}` or `{"images": [base64, ...]}`: pictures' files in base64, or as `data:` URLs; one of the two keys.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "image": TINY_PICTURE }))]
#[serde(deny_unknown_fields)]
pub(super) struct Base64Pictures {
    /// One picture; one answer.
    image: Option<String>,
    /// Several; a list of answers.
    images: Option<Vec<String>>,
}

/// A form whose parts are pictures' files, of any name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "`form` reads part by part; this tells of them")]
pub(super) struct PictureForm {
    /// The files.
    #[schema(value_type = Vec<File>)]
    image: Vec<Bytes>,
}

fn json(body: &[u8]) -> Result<Pictures> {
    if body.is_empty() {
        return Err(empty_body());
    }
    let invalid = |message: String| InferError::new(ErrorKind::InvalidRequest, message);
    let body: Base64Pictures =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the body is not the JSON expected: {error}")))?;
    let (texts, as_list) = match (body.image, body.images) {
        (Some(image), None) => (vec![image], false),
        (None, Some(images)) => (images, true),
        _ => return Err(invalid(r#"send {"image": base64} or {"images": [base64, ...]}"#.into())),
    };
    let images: Result<Vec<_>> = texts.iter().map(|text| decode_base64(text)).collect();
    Ok(Pictures { images: images?, as_list })
}

/// Takes plain base64 and `data:` URLs.
fn decode_base64(text: &str) -> Result<Bytes> {
    let payload = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map_or("", |(_, payload)| payload),
        None => text,
    };
    if payload.is_empty() {
        return Err(InferError::new(ErrorKind::EmptyBody, "an image of the request is empty"));
    }
    BASE64_STANDARD.decode(payload).map(Bytes::from).map_err(|error| {
        InferError::new(ErrorKind::InvalidRequest, format!("an image of the request is not valid base64: {error}"))
    })
}

async fn form<S: Send + Sync>(request: Request, state: &S) -> Result<Pictures> {
    let mut form = Multipart::from_request(request, state).await.map_err(|rejection| {
        InferError::new(ErrorKind::InvalidRequest, format!("the form can't be read: {}", rejection.body_text()))
    })?;
    let mut images = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken_form(&error))? {
        images.push(read_file(field).await?);
    }
    if images.is_empty() {
        return Err(InferError::new(ErrorKind::InvalidRequest, "the form holds no file; send -F image=@photo.jpg"));
    }
    Ok(Pictures { as_list: images.len() > 1, images })
}

async fn read_file(field: Field<'_>) -> Result<Bytes> {
    if field.file_name().is_none() && !matches!(field.name(), Some("image" | "images")) {
        let message = "every part of the form must be a file; options such as top_k go into the URL";
        return Err(InferError::new(ErrorKind::InvalidRequest, message));
    }
    let bytes = field.bytes().await.map_err(|error| broken_form(&error))?;
    if bytes.is_empty() { Err(InferError::new(ErrorKind::EmptyBody, "a file of the form is empty")) } else { Ok(bytes) }
}

fn broken_form(error: &MultipartError) -> InferError {
    unreadable(error.status(), "the form is malformed or broke off")
}

pub(super) fn unreadable(status: StatusCode, otherwise: &str) -> InferError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let message = "the body has more bytes than the server takes; send a smaller picture or fewer at once";
        return InferError::new(ErrorKind::PayloadTooLarge, message);
    }
    InferError::new(ErrorKind::InvalidRequest, otherwise)
}

fn empty_body() -> InferError {
    InferError::new(ErrorKind::EmptyBody, "the body is empty; send a picture, as in: curl --data-binary @photo.jpg URL")
}
