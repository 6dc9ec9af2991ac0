//! `POST /classify` and `POST /detect`: pictures in, labels or boxes out.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Base64Pictures, PictureForm};
use super::incoming::Incoming;
use super::openapi::File;
use super::openapi::parameters::TermsHeaders;
use super::openapi::problems::{Asking, Problems};
use super::openapi::tags::PICTURES;
use super::state::AppState;
use super::status::Problem;
use crate::answer::Answer;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::request::{ImageResult, InferOptions, InferRequest, InferResponse};
use crate::vision::draw::PictureFormat;

/// What the URL of `/classify` says.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassifyParameters {
    /// The model's name; left out, the default model of the task answers, or the only one.
    #[param(nullable = false)]
    model: Option<String>,
    /// The model's version; its default version when absent.
    #[param(nullable = false)]
    version: Option<String>,
    /// At most so many labels, 5 when absent.
    #[param(nullable = false, minimum = 1)]
    top_k: Option<usize>,
    /// Only labels whose score is at least this.
    #[param(nullable = false)]
    threshold: Option<f32>,
}

/// What the URL of `/detect` says.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DetectParameters {
    /// The model's name; left out, the default model of the task answers, or the only one.
    #[param(nullable = false)]
    model: Option<String>,
    /// The model's version; its default version when absent.
    #[param(nullable = false)]
    version: Option<String>,
    /// Only boxes whose score is at least this; as the model has it when absent.
    #[param(nullable = false)]
    threshold: Option<f32>,
    /// Overlap of two boxes of a class above which the lower score goes; as the model has it when absent.
    #[param(nullable = false, minimum = 0, maximum = 1)]
    iou: Option<f32>,
    /// At most so many boxes; as the model has it when absent.
    #[param(nullable = false, minimum = 1)]
    max_detections: Option<usize>,
    /// Only boxes with these labels, commas between them.
    #[param(nullable = false)]
    classes: Option<String>,
    /// Answers the picture with its boxes drawn, as `Accept` says or else as PNG.
    #[param(nullable = false)]
    render: Option<bool>,
}

type Parameters<T> = std::result::Result<Query<T>, QueryRejection>;

/// Labels for pictures
///
/// One picture in, one result out; several in, a list out in order, each with its own result or error.
#[utoipa::path(
    post,
    path = "/classify",
    tag = PICTURES,
    params(ClassifyParameters, TermsHeaders),
    request_body(content(
        (File = "image/*"),
        (File = "application/octet-stream"),
        (PictureForm = "multipart/form-data"),
        (Base64Pictures = "application/json"),
    )),
    responses((status = 200, body = Reply, description = "What the model says."), Problems<Asking>)
)]
pub(super) async fn classify(
    State(state): State<AppState>,
    parameters: Parameters<ClassifyParameters>,
    incoming: Incoming,
) -> Result<Response> {
    let parameters = readable(parameters)?;
    let options = InferOptions { top_k: parameters.top_k, threshold: parameters.threshold, ..InferOptions::default() };
    ask(&state, Task::Classify, parameters.model, parameters.version, options, incoming).await
}

/// Boxes on pictures
///
/// As `/classify`. With `Accept: image/png` or `image/jpeg`, or `render`, the answer to one picture is the picture with its boxes drawn.
#[utoipa::path(
    post,
    path = "/detect",
    tag = PICTURES,
    params(DetectParameters, TermsHeaders),
    request_body(content(
        (File = "image/*"),
        (File = "application/octet-stream"),
        (PictureForm = "multipart/form-data"),
        (Base64Pictures = "application/json"),
    )),
    responses(
        (status = 200, description = "What the model says, or the picture with its boxes drawn.", content(
            (Reply = "application/json"),
            (File = "image/png"),
            (File = "image/jpeg"),
        )),
        Problems<Asking>,
    )
)]
pub(super) async fn detect(
    State(state): State<AppState>,
    parameters: Parameters<DetectParameters>,
    headers: HeaderMap,
    incoming: Incoming,
) -> Result<Response> {
    let parameters = readable(parameters)?;
    let render = wanted_format(&headers, parameters.render);
    if render.is_some() && incoming.pictures.images.len() > 1 {
        let message = "a drawn answer is of one picture; send one, or ask for JSON";
        return Err(InferError::new(ErrorKind::InvalidRequest, message));
    }
    let options = InferOptions {
        threshold: parameters.threshold,
        iou: parameters.iou,
        max_detections: parameters.max_detections,
        classes: parameters.classes.map(|names| names.split(',').map(str::to_owned).collect()),
        render,
        ..InferOptions::default()
    };
    ask(&state, Task::Detect, parameters.model, parameters.version, options, incoming).await
}

/// The file to draw into, if any: the first of `Accept` that is one, else PNG where the URL asks for a drawing.
fn wanted_format(headers: &HeaderMap, render: Option<bool>) -> Option<PictureFormat> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|list| list.split(',')).map(|entry| entry.split(';').next().unwrap_or("").trim());
    let named = types.find_map(|essence| match essence {
        "image/png" => Some(PictureFormat::Png),
        "image/jpeg" => Some(PictureFormat::Jpeg),
        _ => None,
    });
    match render {
        Some(false) => None,
        Some(true) => named.or(Some(PictureFormat::Png)),
        None => named,
    }
}

fn readable<T>(parameters: Parameters<T>) -> Result<T> {
    let unreadable = |rejection: QueryRejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text());
    parameters.map(|Query(parameters)| parameters).map_err(unreadable)
}

async fn ask(
    state: &AppState,
    task: Task,
    model: Option<String>,
    version: Option<String>,
    options: InferOptions,
    incoming: Incoming,
) -> Result<Response> {
    let render = options.render;
    let Incoming { pictures, terms } = incoming;
    let request = InferRequest { task, model, version, images: pictures.images, options, terms };
    let response = state.engine.infer(request).await?;
    match render {
        Some(format) => drawing(response, format),
        None => reply(response, pictures.as_list).map(|reply| axum::Json(reply).into_response()),
    }
}

/// What is answered as JSON.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Reply {
    /// To one picture.
    One(Answer),
    /// To several, or to a list of one.
    Several(Answers),
}

/// Several pictures' answers, in the request's order.
#[derive(Serialize, ToSchema)]
pub(super) struct Answers {
    results: Vec<Entry>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Entry {
    Answer(Answer),
    /// What is wrong with this picture; the others are answered.
    Error {
        error: Problem,
    },
}

/// The picture with its boxes drawn.
fn drawing(mut response: InferResponse, format: PictureFormat) -> Result<Response> {
    let content_type = match format {
        PictureFormat::Png => "image/png",
        PictureFormat::Jpeg => "image/jpeg",
    };
    match response.results.pop() {
        Some(Ok(ImageResult { rendered: Some(file), .. })) => {
            Ok(([(header::CONTENT_TYPE, content_type)], file).into_response())
        }
        Some(Err(error)) => Err(error),
        _ => Err(InferError::new(ErrorKind::Internal, "the picture wasn't drawn")),
    }
}

fn reply(response: InferResponse, as_list: bool) -> Result<Reply> {
    let model = response.model;
    let mut results = response.results.into_iter().map(|result| result.map(|image| Answer::new(&model, image)));
    if as_list {
        let entry = |result: Result<Answer>| match result {
            Ok(answer) => Entry::Answer(answer),
            Err(error) => Entry::Error { error: error.into() },
        };
        return Ok(Reply::Several(Answers { results: results.map(entry).collect() }));
    }
    let nothing = || Err(InferError::new(ErrorKind::Internal, "the picture got no result"));
    results.next().unwrap_or_else(nothing).map(Reply::One)
}
