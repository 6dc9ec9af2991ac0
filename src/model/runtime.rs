//! ONNX Runtime itself: finds its shared library and opens it once for the process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;

use super::{LoadError, LoadResult};

/// Names the library to open, before any other place is tried.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The folder of a checkout that `make runtime` fills.
const CHECKOUT_FOLDER: &str = "runtime";
const LIBRARY_NAMES: &[&str] = &["libonnxruntime.so", "libonnxruntime.dylib", "onnxruntime.dll"];

/// The process's one environment, opened on first use.
///
/// # Errors
/// [`LoadError::Runtime`] when no library is found or it can't be opened; the same error at each later call.
pub(super) fn environment() -> LoadResult<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    ENVIRONMENT.get_or_init(open).as_ref().map_err(|message| LoadError::Runtime(message.clone()))
}

fn open() -> Result<Environment, String> {
    let path = find_library().ok_or_else(|| {
        format!(
            "no shared library found; set {LIBRARY_VARIABLE} to libonnxruntime, put it beside the program, \
             or run `make runtime` in the checkout"
        )
    })?;
    let builder = ort::init_from(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    builder.with_name("cenet-serve").with_telemetry(false).build().map_err(|error| error.to_string())
}

/// `ORT_DYLIB_PATH`, then beside the program, then the folder that `make` fills: seen from the program in a checkout's
/// `target/`, and from the working directory.
fn find_library() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let program = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let beside = program.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let checkouts = program.iter().flat_map(|path| path.ancestors().skip(2)).map(|folder| folder.join(CHECKOUT_FOLDER));
    beside
        .into_iter()
        .chain(checkouts)
        .chain([PathBuf::from(CHECKOUT_FOLDER)])
        .flat_map(|folder| LIBRARY_NAMES.iter().map(move |name| folder.join(name)))
        .find(|candidate| candidate.is_file())
}
