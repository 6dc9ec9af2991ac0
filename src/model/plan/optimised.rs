//! The graph as ONNX Runtime has optimised it for this processor.

use crate::model::{LoadError, LoadResult, OnnxSession, SessionOptions};

/// Opens a session, whose CE nodes are kept; the session, and its optimised graph as an ONNX file.
///
/// # Errors
/// Those of `open`; [`LoadError::Plan`] when there is no place to write the graph to.
pub(super) fn load(
    open: impl FnOnce(&SessionOptions) -> LoadResult<OnnxSession>,
) -> LoadResult<(OnnxSession, Vec<u8>)> {
    let place = Place::new().map_err(|error| no_place(&error))?;
    let options = SessionOptions { optimised: Some(place.path()), ..SessionOptions::default() };
    let session = open(&options)?;
    Ok((session, place.read().map_err(|error| no_place(&error))?))
}

fn no_place(error: &std::io::Error) -> LoadError {
    LoadError::Plan(format!("no place to put the optimised graph: {error}"))
}

#[cfg(target_os = "linux")]
use memory::Place;
#[cfg(not(target_os = "linux"))]
use on_disk::Place;

/// A file in memory: there is nothing to clean up, and no disk need be writable.
#[cfg(target_os = "linux")]
mod memory {
    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;

    use rustix::fs::{MemfdFlags, memfd_create};

    pub(super) struct Place(File);

    impl Place {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(memfd_create("optimised.onnx", MemfdFlags::CLOEXEC)?.into()))
        }

        /// The name by which the runtime can open the file.
        pub(super) fn path(&self) -> PathBuf {
            format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
        }

        pub(super) fn read(mut self) -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            self.0.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod on_disk {
    use std::io;
    use std::path::PathBuf;

    use tempfile::TempDir;

    pub(super) struct Place(TempDir);

    impl Place {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(tempfile::tempdir()?))
        }

        pub(super) fn path(&self) -> PathBuf {
            self.0.path().join("optimised.onnx")
        }

        pub(super) fn read(self) -> io::Result<Vec<u8>> {
            std::fs::read(self.path())
        }
    }
}
