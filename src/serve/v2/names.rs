//! The model that a path names.

use std::collections::HashMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::answer::Failed;
use crate::error::{ErrorKind, InferError};

/// A model's name, and its version where the path names one.
pub(super) struct Names {
    pub(super) model: String,
    pub(super) version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let unreadable = |rejection: PathRejection| InferError::new(ErrorKind::ModelNotFound, rejection.body_text());
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Path(mut names) = path.map_err(unreadable)?;
        let model = names.remove("model").unwrap_or_default();
        Ok(Self { model, version: names.remove("version") })
    }
}
