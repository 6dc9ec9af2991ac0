//! `POST /classify`: pictures in, labels out.

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

/// What the URL says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    model: Option<String>,
    version: Option<String>,
    top_k: Option<usize>,
    threshold: Option<f32>,
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

pub(super) async fn classify(
    State(state): State<AppState>,
    parameters: std::result::Result<Query<Parameters>, QueryRejection>,
    pictures: Pictures,
) -> Result<Response> {
    let Query(parameters) =
        parameters.map_err(|rejection| InferError::new(ErrorKind::InvalidParameter, rejection.body_text()))?;
    let request = InferRequest {
        task: Task::Classify,
        model: parameters.model,
        version: parameters.version,
        images: pictures.images,
        options: InferOptions { top_k: parameters.top_k, threshold: parameters.threshold },
    };
    let response = state.engine.infer(request).await?;
    let served = ServedModel(response.model.directory.name.clone());
    Ok((axum::Extension(served), answer(response, pictures.as_list)).into_response())
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
