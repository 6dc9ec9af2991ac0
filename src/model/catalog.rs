//! What is served at one moment: a snapshot that nobody changes. A request finds its model here and keeps it to its end, whatever is
//! loaded or unloaded meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::folder::Fingerprint;
use super::{LoadError, Model};
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;

/// Every version that is served or was to be, by name and number.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    entries: BTreeMap<String, BTreeMap<u32, Entry>>,
    /// The version that answers when none is named, where that isn't the newest.
    default_versions: BTreeMap<String, u32>,
    /// The models that answer when none is named, instead of those whose manifests say so.
    default_models: Vec<String>,
}

/// A version of a model.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// What its directory looked like when it was last loaded or refused.
    pub fingerprint: Fingerprint,
    /// What is served.
    pub model: Option<Arc<Model>>,
    /// Why what the directory holds now isn't.
    pub refusal: Option<String>,
}

type Versions = BTreeMap<u32, Entry>;

impl Catalog {
    /// Nothing yet; the defaults are what answers when no version or model is named, as in `RepositoryOptions`.
    pub(super) fn new(default_versions: BTreeMap<String, u32>, default_models: Vec<String>) -> Self {
        Self { default_versions, default_models, ..Self::default() }
    }

    /// Takes the outcome of loading a version. One that is refused leaves what was served before in its place.
    pub(super) fn put(
        &mut self,
        name: &str,
        version: u32,
        fingerprint: Fingerprint,
        outcome: std::result::Result<&Arc<Model>, &LoadError>,
    ) {
        let entry = self.entries.entry(name.to_owned()).or_default().entry(version).or_default();
        entry.fingerprint = fingerprint;
        match outcome {
            Ok(model) => (entry.model, entry.refusal) = (Some(Arc::clone(model)), None),
            Err(error) => entry.refusal = Some(error.to_string()),
        }
    }

    /// Takes a version out, or all of them; whether there was any.
    pub(super) fn remove(&mut self, name: &str, version: Option<u32>) -> bool {
        let Some(versions) = self.entries.get_mut(name) else { return false };
        let before = versions.len();
        versions.retain(|number, _| version.is_some_and(|gone| gone != *number));
        let removed = versions.len() < before;
        if versions.is_empty() {
            self.entries.remove(name);
        }
        removed
    }

    /// Every version with its name and number, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, u32, &Entry)> {
        self.entries
            .iter()
            .flat_map(|(name, versions)| versions.iter().map(move |(version, entry)| (name.as_str(), *version, entry)))
    }

    /// What is known of a version.
    pub fn entry(&self, name: &str, version: u32) -> Option<&Entry> {
        self.entries.get(name)?.get(&version)
    }

    /// Every model that is served, by name and version.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.entries().filter_map(|(_, _, entry)| entry.model.as_ref())
    }

    /// The model called `name`, whatever its state, or without a name the default one of `task`; unless a version is named its
    /// default version, or else its newest.
    ///
    /// # Errors
    /// `ModelNotFound`, `InvalidParameter` when a name or version is needed or malformed, `WrongTask`.
    pub fn find(&self, task: Task, name: Option<&str>, version: Option<&str>) -> Result<&Arc<Model>> {
        let name = match name {
            Some(name) => name,
            None => self.default_of(task)?,
        };
        let model = self.get(name, version)?;
        let own = model.directory.manifest.task;
        if own != task {
            let message = format!("the task of model {name} is {own}: POST to /{own}, or name a model for {task}");
            return Err(InferError::new(ErrorKind::WrongTask, message));
        }
        Ok(model)
    }

    /// The model called `name`, whatever its task and state: its default version unless one is named.
    ///
    /// # Errors
    /// `ModelNotFound`, `InvalidParameter` for a malformed version.
    pub fn get(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>> {
        let versions = self.entries.get(name).ok_or_else(|| self.no_model(name))?;
        self.pick_version(name, versions, version)
    }

    /// The only model of `task`, or of several the one that the options call the default, or else the manifests.
    fn default_of(&self, task: Task) -> Result<&str> {
        let named = |wanted: &dyn Fn(&Model) -> bool| {
            let of_task = self.models().filter(|model| model.directory.manifest.task == task && wanted(model));
            let mut names: Vec<_> = of_task.map(|model| model.directory.name.as_str()).collect();
            names.dedup();
            names
        };
        let all = named(&|_| true);
        let by_options = named(&|model| self.default_models.contains(&model.directory.name));
        let by_manifest = named(&|model| model.directory.manifest.default);
        match (all.as_slice(), by_options.as_slice(), by_manifest.as_slice()) {
            ([only], ..) | (_, [only], _) | (_, [], [only]) => Ok(only),
            ([], ..) => Err(InferError::new(ErrorKind::ModelNotFound, format!("no served model can {task}"))),
            (several, ..) => Err(InferError::new(
                ErrorKind::InvalidParameter,
                format!("several models can {task}; name one with the parameter model: {}", several.join(", ")),
            )),
        }
    }

    fn no_model(&self, name: &str) -> InferError {
        let names = self.entries.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        InferError::new(ErrorKind::ModelNotFound, format!("no model is called {name:?}; the models are: {names}"))
    }

    fn pick_version<'a>(&self, name: &str, versions: &'a Versions, wanted: Option<&str>) -> Result<&'a Arc<Model>> {
        let served = |number: u32| versions.get(&number)?.model.as_ref();
        let newest = || versions.values().rev().find_map(|entry| entry.model.as_ref());
        let found = match (parse_version(wanted)?, self.default_versions.get(name)) {
            (Some(number), _) => served(number),
            (None, Some(default)) => served(*default),
            (None, None) => newest(),
        };
        found.ok_or_else(|| {
            let served = versions.iter().filter(|(_, entry)| entry.model.is_some());
            let known: Vec<_> = served.map(|(number, _)| number.to_string()).collect();
            let message = format!("the model has no such version; its versions are: {}", known.join(", "));
            InferError::new(ErrorKind::ModelNotFound, message)
        })
    }
}

/// The number of a version as a request gives it.
///
/// # Errors
/// `InvalidParameter` for what is no number.
pub fn parse_version(version: Option<&str>) -> Result<Option<u32>> {
    let parsed = version.map(str::parse::<u32>).transpose();
    parsed.map_err(|_| InferError::new(ErrorKind::InvalidParameter, "version must be a whole number from 1 on"))
}
