//! A file for what is read from disk.

use std::io::{Seek, Write};
use std::path::Path;
use std::sync::LazyLock;

use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a file"));

/// The file, which holds `bytes` until the next call. It is never emptied before it is written: some file systems would then wait for the disk.
pub(crate) fn holding(bytes: &[u8]) -> &'static Path {
    let mut file = FILE.as_file();
    file.rewind().and_then(|()| file.write_all(bytes)).expect("written");
    file.set_len(bytes.len() as u64).expect("cut off");
    FILE.path()
}
