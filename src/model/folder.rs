//! The model repository on disk: which `<name>/<version>` there are below one folder, and whether they change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{LoadError, LoadResult};

/// What a directory's files look like from outside: name, length in bytes and time of change of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, u64, Option<SystemTime>)>);

impl Fingerprint {
    /// Looks at the files of `directory`.
    pub(super) fn of(directory: &Path) -> LoadResult<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(LoadError::read(directory))? {
            let path = entry.map_err(LoadError::read(directory))?.path();
            let metadata = fs::metadata(&path).map_err(LoadError::read(&path))?;
            files.push((path, metadata.len(), metadata.modified().ok()));
        }
        files.sort();
        Ok(Self(files))
    }
}

/// A version's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionFolder {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) path: PathBuf,
}

/// Every `<name>/<version>` below `root`, in order. Names that begin with a dot, and files, are passed over.
pub(super) fn version_folders(root: &Path) -> LoadResult<Vec<VersionFolder>> {
    let mut found = Vec::new();
    for model in subfolders(root)? {
        // a model that is taken away while it is looked at has no versions
        found.extend(subfolders(&model).unwrap_or_default().into_iter().filter_map(|path| {
            let (name, version) = name_and_version(&path)?;
            Some(VersionFolder { name, version, path })
        }));
    }
    Ok(found)
}

/// What every version's directory looks like.
pub(super) fn scan(root: &Path) -> LoadResult<BTreeMap<VersionFolder, Fingerprint>> {
    let folders = version_folders(root)?;
    let seen = folders.into_iter().filter_map(|folder| Fingerprint::of(&folder.path).ok().map(|print| (folder, print)));
    Ok(seen.collect())
}

/// The newest version below a model's folder, if there is any.
pub(super) fn newest_version(model: &Path) -> Option<PathBuf> {
    let versions = subfolders(model).ok()?.into_iter();
    let numbered = versions
        .filter_map(|folder| name_and_version(&folder.canonicalize().ok()?).map(|(_, version)| (version, folder)));
    numbered.max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}

/// The folder of the version and name that make up a model directory's path.
pub(super) fn name_and_version(path: &Path) -> Option<(String, u32)> {
    let path: PathBuf = path.components().collect();
    let version = path.file_name()?.to_str()?.parse().ok().filter(|version| *version > 0)?;
    Some((path.parent()?.file_name()?.to_str()?.to_owned(), version))
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
