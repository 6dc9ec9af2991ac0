//! The repository's index, and loading and unloading by calls.

use std::sync::Arc;

use serde::Serialize;

use crate::error::{ErrorKind, InferError, Result};
use crate::infer::Engine;
use crate::model::parse_version;

/// A version that is served, or was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The model's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Whether it answers.
    pub state: ModelState,
    /// Why not; or why what its directory holds now isn't served, while something older is.
    pub reason: Option<String>,
}

/// Whether a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// It does.
    Ready,
    /// It was loaded, but doesn't answer right any more.
    Failing,
    /// It never was loaded.
    Refused,
}

impl ModelState {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Failing, Self::Refused];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failing => "failing",
            Self::Refused => "refused",
        }
    }
}

/// Refuses the parameters of a call to load a model.
///
/// # Errors
/// `InvalidParameter` naming one of them, if there is any.
pub fn refuse_parameters<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<()> {
    names.next().map_or(Ok(()), |name| {
        let message = format!("a model is loaded as its directory says; {name:?} can't be given");
        Err(InferError::new(ErrorKind::InvalidParameter, message))
    })
}

impl Engine {
    /// Every version that is served, or was to be; only those that answer, where `ready_only`.
    pub fn index(&self, ready_only: bool) -> Vec<IndexEntry> {
        let catalog = self.models.catalog();
        let entries = catalog.entries().map(|(name, version, entry)| {
            let failing = entry.model.as_ref().and_then(|model| model.health.check().err());
            let state = match (&entry.model, &failing) {
                (Some(_), None) => ModelState::Ready,
                (Some(_), Some(_)) => ModelState::Failing,
                (None, _) => ModelState::Refused,
            };
            let reason = failing.map(|error| error.message).or_else(|| entry.refusal.clone());
            IndexEntry { name: name.to_owned(), version: version.to_string(), state, reason }
        });
        entries.filter(|entry| !ready_only || entry.state == ModelState::Ready).collect()
    }

    /// Loads a version of a model, or all its versions, from disk, in place of what is served; ends when that is done.
    ///
    /// # Errors
    /// `Forbidden` unless models are loaded by calls here, `ModelRefused` with the reason, `InvalidParameter` for a malformed version.
    pub async fn load_model(&self, name: &str, version: Option<&str>) -> Result<()> {
        self.check_calls_allowed()?;
        let version = parse_version(version)?;
        let (models, wanted) = (Arc::clone(&self.models), name.to_owned());
        let refused = |message: String| InferError::new(ErrorKind::ModelRefused, message);
        let loaded = tokio::task::spawn_blocking(move || models.load(&wanted, version).map(drop)).await;
        loaded.map_err(|error| refused(error.to_string()))?.map_err(|error| refused(error.to_string()))
    }

    /// Takes a version of a model, or all of them, out of service; requests that have it are answered still.
    ///
    /// # Errors
    /// `Forbidden` unless models are unloaded by calls here, `ModelNotFound`, `InvalidParameter` for a malformed version.
    pub async fn unload_model(&self, name: &str, version: Option<&str>) -> Result<()> {
        self.check_calls_allowed()?;
        let version = parse_version(version)?;
        let (models, gone) = (Arc::clone(&self.models), name.to_owned());
        // a load that is under way comes first
        let removed = tokio::task::spawn_blocking(move || models.unload(&gone, version)).await;
        if removed.unwrap_or(false) {
            return Ok(());
        }
        Err(InferError::new(ErrorKind::ModelNotFound, format!("no such version of a model {name:?} is served")))
    }

    /// # Errors
    /// `Forbidden` unless the server is changed by calls here.
    pub(crate) fn check_calls_allowed(&self) -> Result<()> {
        if self.model_calls {
            return Ok(());
        }
        let message = "this server is not changed by calls; start it with --model-control explicit";
        Err(InferError::new(ErrorKind::Forbidden, message))
    }
}
