//! `POST /classify` and `POST /detect`: pictures in, labels or boxes out.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::incoming::Incoming;
use super::state::AppState;
use super::status::Problem;
use crate::answer::Answer;
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;
use crate::request::{ImageResult, InferOptions, InferRequest, InferResponse};
use crate::vision::draw::PictureFormat;

/// What the URL of `/classify` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassifyParameters {
    model: Option<String>,
    version: Option<String>,
    top_k: Option<usize>,
    threshold: Option<f32>,
}

/// What the URL of `/detect` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DetectParameters {
    model: Option<String>,
    version: Option<String>,
    threshold: Option<f32>,
    iou: Option<f32>,
    max_detections: Option<usize>,
    /// Labels with commas between them.
    classes: Option<String>,
    /// Answers the picture with its boxes drawn, as `Accept` says or else as PNG.
    render: Option<bool>,
}

type Parameters<T> = std::result::Result<Query<T>, QueryRejection>;

/// `POST /classify`
pub(super) async fn classify(
    State(state): State<AppState>,
    parameters: Parameters<ClassifyParameters>,
    incoming: Incoming,
) -> Result<Response> {
    let parameters = readable(parameters)?;
    let options = InferOptions { top_k: parameters.top_k, threshold: parameters.threshold, ..InferOptions::default() };
    ask(&state, Task::Classify, parameters.model, parameters.version, options, incoming).await
}

/// `POST /detect`
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
    Ok(match render {
        Some(format) => drawing(response, format),
        None => answer(response, pictures.as_list),
    })
}

/// Several pictures' answers, in the request's order.
#[derive(Serialize)]
struct Answers {
    results: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Answer(Answer),
    Error { error: Problem },
}

/// The picture with its boxes drawn.
fn drawing(mut response: InferResponse, format: PictureFormat) -> Response {
    let content_type = match format {
        PictureFormat::Png => "image/png",
        PictureFormat::Jpeg => "image/jpeg",
    };
    match response.results.pop() {
        Some(Ok(ImageResult { rendered: Some(file), .. })) => {
            ([(header::CONTENT_TYPE, content_type)], file).into_response()
        }
        Some(Err(error)) => error.into_response(),
        _ => InferError::new(ErrorKind::Internal, "the picture wasn't drawn").into_response(),
    }
}

fn answer(response: InferResponse, as_list: bool) -> Response {
    let model = response.model;
    let mut results = response.results.into_iter().map(|result| result.map(|image| Answer::new(&model, image)));
    if as_list {
        let entry = |result: Result<Answer>| match result {
            Ok(answer) => Entry::Answer(answer),
            Err(error) => Entry::Error { error: error.into() },
        };
        return axum::Json(Answers { results: results.map(entry).collect() }).into_response();
    }
    match results.next() {
        Some(Ok(answer)) => axum::Json(answer).into_response(),
        Some(Err(error)) => error.into_response(),
        None => InferError::new(ErrorKind::Internal, "the picture got no result").into_response(),
    }
}
