//! The model repository: every `<name>/<version>` below one folder, loaded before the server listens.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LoadError, LoadOptions, LoadResult, Model, name_and_version};
use crate::error::{ErrorKind, InferError, Result};
use crate::manifest::Task;

/// Every model that can't be served.
#[derive(Debug)]
pub struct LoadFailures(Vec<LoadError>);

impl std::error::Error for LoadFailures {}

impl fmt::Display for LoadFailures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

/// The models that are served.
#[derive(Debug)]
pub struct Repository {
    /// By name, then by version.
    models: BTreeMap<String, BTreeMap<u32, Arc<Model>>>,
}

impl Repository {
    /// Loads every model directory below `root`.
    ///
    /// # Errors
    /// Every directory that fails, with its reason; or that there is none.
    pub fn load(root: &Path, options: &LoadOptions) -> std::result::Result<Self, LoadFailures> {
        let folders = model_folders(root).map_err(|error| LoadFailures(vec![error]))?;
        let mut models: BTreeMap<String, BTreeMap<u32, Arc<Model>>> = BTreeMap::new();
        let mut failures = Vec::new();
        for folder in folders {
            match Model::load(&folder, options) {
                Ok(model) => {
                    let versions = models.entry(model.directory.name.clone()).or_default();
                    versions.insert(model.directory.version, Arc::new(model));
                }
                Err(error) => failures.push(LoadError::Model { path: folder, source: Box::new(error) }),
            }
        }
        if failures.is_empty() { Ok(Self { models }) } else { Err(LoadFailures(failures)) }
    }

    /// A repository of one model.
    pub fn of(model: Model) -> Self {
        let (name, version) = (model.directory.name.clone(), model.directory.version);
        Self { models: BTreeMap::from([(name, BTreeMap::from([(version, Arc::new(model))]))]) }
    }

    /// Every model, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values().flat_map(BTreeMap::values)
    }

    /// The model called `name`, or without a name the only one of `task`; its newest version unless one is named.
    ///
    /// # Errors
    /// `ModelNotFound`, `InvalidParameter` when a name or version is needed or malformed, `WrongTask`.
    pub fn find(&self, task: Task, name: Option<&str>, version: Option<&str>) -> Result<&Arc<Model>> {
        let versions = match name {
            Some(name) => self.models.get(name).ok_or_else(|| self.no_model(name))?,
            None => self.only_one_of(task)?,
        };
        let model = pick_version(versions, version)?;
        if model.directory.manifest.task == task {
            return Ok(model);
        }
        let (name, own) = (&model.directory.name, model.directory.manifest.task);
        let message = format!("the task of model {name} is {own}: POST to /{own}, or name a model for {task}");
        Err(InferError::new(ErrorKind::WrongTask, message))
    }

    fn only_one_of(&self, task: Task) -> Result<&BTreeMap<u32, Arc<Model>>> {
        let of_task = |versions: &&BTreeMap<u32, Arc<Model>>| {
            versions.values().any(|model| model.directory.manifest.task == task)
        };
        let mut candidates = self.models.values().filter(of_task);
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(InferError::new(ErrorKind::ModelNotFound, format!("no served model can {task}"))),
            (Some(_), Some(_)) => Err(InferError::new(
                ErrorKind::InvalidParameter,
                format!("several models can {task}; name one with the parameter model: {}", self.names()),
            )),
        }
    }

    fn no_model(&self, name: &str) -> InferError {
        let message = format!("no model is called {name:?}; the models are: {}", self.names());
        InferError::new(ErrorKind::ModelNotFound, message)
    }

    fn names(&self) -> String {
        self.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn pick_version<'a>(versions: &'a BTreeMap<u32, Arc<Model>>, version: Option<&str>) -> Result<&'a Arc<Model>> {
    let wanted = version
        .map(str::parse::<u32>)
        .transpose()
        .map_err(|_| InferError::new(ErrorKind::InvalidParameter, "version must be a whole number from 1 on"))?;
    let found = match wanted {
        Some(number) => versions.get(&number),
        None => versions.values().next_back(),
    };
    found.ok_or_else(|| {
        let known: Vec<_> = versions.keys().map(u32::to_string).collect();
        let message = format!("the model has no such version; its versions are: {}", known.join(", "));
        InferError::new(ErrorKind::ModelNotFound, message)
    })
}

/// Every `<name>/<version>` below `root`, in order. Names that begin with a dot, and files, are passed over.
fn model_folders(root: &Path) -> LoadResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    for model in subfolders(root)? {
        found.extend(subfolders(&model)?.into_iter().filter(|folder| name_and_version(folder).is_some()));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let message = "holds no model: a model lies in <name>/<version>/, the version a whole number from 1 on";
    Err(LoadError::Repository { path: root.to_path_buf(), message: message.into() })
}

/// The newest version below a model's folder, if there is any.
pub(super) fn newest_version(model: &Path) -> Option<PathBuf> {
    let versions = subfolders(model).ok()?.into_iter();
    let numbered = versions
        .filter_map(|folder| name_and_version(&folder.canonicalize().ok()?).map(|(_, version)| (version, folder)));
    numbered.max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}

fn subfolders(folder: &Path) -> LoadResult<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(LoadError::read(folder))?;
    let paths: std::io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(LoadError::read(folder))?;
    paths.retain(|path| path.is_dir() && !is_hidden(path));
    paths.sort();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'))
}
