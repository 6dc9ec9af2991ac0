//! `POST /classify` and `POST /detect`: pictures in, labels or boxes out.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::body::Pictures;
use super::http::AppState;
use super::layers::ServedModel;
use super::status::Problem;
use crate::answer::Answer;
use crate::error::{ErrorKind, InferError, Result};
use crate::infer::{InferOptions, InferRequest, InferResponse};
use crate::manifest::Task;

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
}

type Parameters<T> = std::result::Result<Query<T>, QueryRejection>;

/// `POST /classify`
pub(super) async fn classify(
    State(state): State<AppState>,
    parameters: Parameters<ClassifyParameters>,
    pictures: Pictures,
) -> Result<Response> {
    let parameters = readable(parameters)?;
    let options = InferOptions { top_k: parameters.top_k, threshold: parameters.threshold, ..InferOptions::default() };
    ask(&state, Task::Classify, parameters.model, parameters.version, options, pictures).await
}

/// `POST /detect`
pub(super) async fn detect(
    State(state): State<AppState>,
    parameters: Parameters<DetectParameters>,
    pictures: Pictures,
) -> Result<Response> {
    let parameters = readable(parameters)?;
    let options = InferOptions {
        threshold: parameters.threshold,
        iou: parameters.iou,
        max_detections: parameters.max_detections,
        classes: parameters.classes.map(|names| names.split(',').map(str::to_owned).collect()),
        ..InferOptions::default()
    };
    ask(&state, Task::Detect, parameters.model, parameters.version, options, pictures).await
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
    pictures: Pictures,
) -> Result<Response> {
    let request = InferRequest { task, model, version, images: pictures.images, options };
    let response = state.engine.infer(request).await?;
    let served = ServedModel(response.model.directory.name.clone());
    Ok((axum::Extension(served), answer(response, pictures.as_list)).into_response())
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
