//! The model repository: what lies below one folder, and what of it is served. A version is loaded and verified first, then it takes
//! the place of the one before in one step; requests that have that one keep it, and with the last of them it is unloaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::catalog::Catalog;
use super::folder::{Fingerprint, VersionFolder, version_folders};
use super::{LoadError, LoadOptions, LoadResult, Model};

/// Where models lie, and which of them are served how.
#[derive(Debug, Clone, Default)]
pub struct RepositoryOptions {
    /// The folder with `<name>/<version>/`.
    pub root: PathBuf,
    /// How models are loaded.
    pub load: LoadOptions,
    /// The models to load at first; all when empty.
    pub first: Vec<String>,
    /// The version that answers when none is named, where that isn't to be the newest.
    pub default_versions: BTreeMap<String, u32>,
    /// The models that answer when none is named, instead of those whose manifests say so.
    pub default_models: Vec<String>,
}

/// The models that are served.
#[derive(Debug)]
pub struct Repository {
    options: RepositoryOptions,
    catalog: RwLock<Arc<Catalog>>,
    /// One load or unload at a time.
    change: Mutex<()>,
}

impl Repository {
    /// Loads what is to be served at first. A version that is refused is told in the log and in the catalog; the others are served.
    ///
    /// # Errors
    /// When the folder can't be read, or doesn't hold a model that is named.
    pub fn open(options: RepositoryOptions) -> LoadResult<Self> {
        let folders = version_folders(&options.root)?;
        let unknown = options.first.iter().find(|name| folders.iter().all(|folder| folder.name != **name));
        if let Some(name) = unknown {
            return Err(absent(&options.root, name, None));
        }
        let catalog = Catalog::new(options.default_versions.clone(), options.default_models.clone());
        let repository = Self { options, catalog: RwLock::new(Arc::new(catalog)), change: Mutex::new(()) };
        let wanted = |folder: &&VersionFolder| {
            repository.options.first.is_empty() || repository.options.first.contains(&folder.name)
        };
        for folder in folders.iter().filter(wanted) {
            // told where it happens
            let _ = repository.load_folder(folder);
        }
        Ok(repository)
    }

    /// A repository of one model.
    pub fn of(model: Model) -> Self {
        Self::of_all([model])
    }

    /// A repository of some models.
    pub fn of_all(models: impl IntoIterator<Item = Model>) -> Self {
        let mut catalog = Catalog::default();
        for model in models {
            let (name, version) = (model.directory.name.clone(), model.directory.version);
            catalog.put(&name, version, Fingerprint::default(), Ok(&Arc::new(model)));
        }
        Self { options: RepositoryOptions::default(), catalog: RwLock::new(Arc::new(catalog)), change: Mutex::new(()) }
    }

    /// Where the models lie.
    pub fn root(&self) -> &Path {
        &self.options.root
    }

    /// What is served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads a version of the model called `name`, or all its versions, from disk, in place of what was served of them. Takes as long
    /// as that takes: not for a thread that others wait for.
    ///
    /// # Errors
    /// Why a version is refused, once all have been tried; or that there is none. What was served before is then served still.
    pub fn load(&self, name: &str, version: Option<u32>) -> LoadResult<Vec<Arc<Model>>> {
        let mut folders = version_folders(&self.options.root)?;
        folders.retain(|folder| folder.name == name && version.is_none_or(|wanted| wanted == folder.version));
        if folders.is_empty() {
            return Err(absent(&self.options.root, name, version));
        }
        let outcomes: Vec<_> = folders.iter().map(|folder| self.load_folder(folder)).collect();
        outcomes.into_iter().collect()
    }

    /// Takes a version, or all of them, out of service; whether there was any.
    pub fn unload(&self, name: &str, version: Option<u32>) -> bool {
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.update(|catalog| catalog.remove(name, version))
    }

    pub(super) fn load_folder(&self, folder: &VersionFolder) -> LoadResult<Arc<Model>> {
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let VersionFolder { name, version, path } = folder;
        // a directory that can't be looked at can't be loaded either, and that is told as any refusal
        let fingerprint = Fingerprint::of(path).unwrap_or_default();
        let before = self.catalog().entry(name, *version).and_then(|entry| entry.model.clone());
        let outcome = load_whole(path, &self.options.load, &fingerprint, before.as_deref())
            .map_err(|error| LoadError::Model { path: path.clone(), source: Box::new(error) });
        match &outcome {
            Ok(model) => tracing::info!(
                model = name,
                version,
                instances = %model.instances,
                provider = %model.placement.provider,
                nodes = ?model.placement.nodes,
                load_ms = model.load_time.as_millis() as u64,
                golden_relative_difference = model.golden.as_ref().map(|golden| golden.relative_difference),
                "model is ready"
            ),
            Err(error) => tracing::error!(model = name, version, %error, "model is refused"),
        }
        self.update(|catalog| catalog.put(name, *version, fingerprint, outcome.as_ref()));
        outcome
    }

    /// Puts a changed copy of the catalog in the place of the one before. What leaves it is dropped after the lock is let go.
    fn update<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        let mut next = Catalog::clone(&self.catalog());
        let told = change(&mut next);
        let before =
            std::mem::replace(&mut *self.catalog.write().unwrap_or_else(PoisonError::into_inner), Arc::new(next));
        drop(before);
        told
    }
}

/// Loads the directory, and makes sure that it was the same from beginning to end.
fn load_whole(
    path: &Path,
    options: &LoadOptions,
    fingerprint: &Fingerprint,
    before: Option<&Model>,
) -> LoadResult<Arc<Model>> {
    let mut model = Model::load(path, options)?;
    if let Some(before) = before {
        model.metrics = Arc::clone(&before.metrics);
    }
    if Fingerprint::of(path)? == *fingerprint {
        return Ok(Arc::new(model));
    }
    Err(LoadError::Repository {
        path: path.to_path_buf(),
        message: "the directory changed while it was read; move whole directories into their place".into(),
    })
}

fn absent(root: &Path, name: &str, version: Option<u32>) -> LoadError {
    let version = version.map(|number| format!(" in version {number}")).unwrap_or_default();
    LoadError::Repository { path: root.to_path_buf(), message: format!("holds no model {name:?}{version}") }
}
