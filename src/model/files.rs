//! What is believed of a model's files before anything reads them: they lie in the repository, and are no larger than a model's may be.
//!
//! A model directory may come from anywhere. Links in it may lead to files of the same repository (`<root>/<name>/<version>`, the
//! real one, whatever links led to it) and to nothing else; so may the places that an ONNX file names for its tensors. This says nothing of somebody
//! who changes the directory while it is loaded: who may write there decides what is served anyway.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::external::{Elsewhere, elsewhere};
use super::{LoadError, LoadResult};
use crate::manifest::Manifest;

/// Bytes of a `model.toml`.
pub(super) const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Bytes of the labels.
pub(super) const MAX_LABELS_BYTES: u64 = 16 << 20;
/// Bytes of an ONNX file: protobuf takes no more.
const MAX_NETWORK_BYTES: u64 = i32::MAX as u64;
/// Bytes of all files that a network's tensors lie in.
const MAX_EXTERNAL_BYTES: u64 = 16 << 30;
/// Bytes of the golden pair, and of its picture.
const MAX_GOLDEN_BYTES: u64 = 256 << 20;

/// The files of one model directory.
#[derive(Debug)]
pub(super) struct Files<'a> {
    directory: &'a Path,
    /// The repository's folder, without links.
    root: PathBuf,
}

impl<'a> Files<'a> {
    /// The files of `directory`, which is `real` without links.
    pub(super) fn of(directory: &'a Path, real: &Path) -> Self {
        // shorter paths are no model directory's
        let root = real.ancestors().nth(2).unwrap_or(real).to_path_buf();
        Self { directory, root }
    }

    /// The text of the file called `name`, of at most `max` bytes.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::Files`].
    pub(super) fn text(&self, name: &str, max: u64) -> LoadResult<String> {
        let path = self.directory.join(name);
        self.check(&path, max)?;
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(max).read_to_string(&mut text));
        read.map_err(LoadError::read(&path))?;
        Ok(text)
    }

    /// Checks whatever else `manifest` names, and the files that the network names.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::Files`].
    pub(super) fn check_rest(&self, manifest: &Manifest) -> LoadResult<()> {
        let network = self.directory.join(&manifest.model);
        self.check(&network, MAX_NETWORK_BYTES)?;
        if let Some(golden) = &manifest.golden {
            for name in golden.image.iter().chain([&golden.tensors]) {
                self.check(&self.directory.join(name), MAX_GOLDEN_BYTES)?;
            }
        }
        let places = elsewhere(&network).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => refusal(&network, "is cut off, or no ONNX file"),
            io::ErrorKind::InvalidData => refusal(&network, "is no ONNX file"),
            _ => LoadError::read(&network)(error),
        })?;
        self.check_tensors(&network, &places)
    }

    /// Checks the files that tensors of `network` lie in.
    fn check_tensors(&self, network: &Path, places: &[Elsewhere]) -> LoadResult<()> {
        let mut lengths = BTreeMap::new();
        for Elsewhere { location, offset, length } in places {
            let inside = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || location.is_empty() {
                let message = format!("keeps tensors in {location:?}, which isn't below its own directory");
                return Err(refusal(network, &message));
            }
            let path = self.directory.join(location);
            let bytes = match lengths.get(location) {
                Some(bytes) => *bytes,
                None => self.check(&path, MAX_EXTERNAL_BYTES)?.len(),
            };
            lengths.insert(location.clone(), bytes);
            if offset.checked_add(length.unwrap_or(0)).is_none_or(|end| end > bytes) {
                return Err(refusal(network, &format!("keeps tensors in {location:?} that reach beyond its end")));
            }
        }
        if lengths.values().sum::<u64>() > MAX_EXTERNAL_BYTES {
            return Err(too_large(network, MAX_EXTERNAL_BYTES));
        }
        Ok(())
    }

    /// Makes sure that `path` is a file of the repository, of at most `max` bytes.
    fn check(&self, path: &Path, max: u64) -> LoadResult<Metadata> {
        let real = path.canonicalize().map_err(LoadError::read(path))?;
        if !real.starts_with(&self.root) {
            return Err(refusal(path, "is a link that leaves the model repository"));
        }
        let metadata = real.metadata().map_err(LoadError::read(path))?;
        if !metadata.is_file() {
            return Err(refusal(path, "is no file"));
        }
        if metadata.len() > max { Err(too_large(path, max)) } else { Ok(metadata) }
    }
}

fn too_large(path: &Path, max: u64) -> LoadError {
    refusal(path, &format!("has more than {max} bytes"))
}

fn refusal(path: &Path, message: &str) -> LoadError {
    LoadError::Files { path: path.to_path_buf(), message: message.into() }
}
