//! Finds a model directory by what a person types.

use std::path::{Path, PathBuf};

use super::folder::newest_version;
use super::{LoadError, LoadResult};

/// The directory meant by `model`: a folder `<name>/<version>`, a folder `<name>` (its newest version), or a name in
/// `repository` with or without a version.
///
/// # Errors
/// [`LoadError::Repository`] when there is none.
pub fn locate(model: &Path, repository: &Path) -> LoadResult<PathBuf> {
    let candidates = [model.to_path_buf(), repository.join(model)];
    candidates.iter().find_map(|folder| version_in(folder)).ok_or_else(|| LoadError::Repository {
        path: repository.to_path_buf(),
        message: format!("no model {:?} here, and no such folder elsewhere", model.display().to_string()),
    })
}

fn version_in(folder: &Path) -> Option<PathBuf> {
    let is_version = folder.join(super::directory::MANIFEST_FILE).is_file();
    if is_version { Some(folder.to_path_buf()) } else { newest_version(folder) }
}
