//! The file that a plan is kept in: any bytes, and once more with the first line as its head, behind the length and the checksum that it
//! should have.
#![no_main]

use std::fs::File;
use std::sync::LazyLock;

use cenet_serve::model::fuzz::{before_head, read_plan};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a file"));

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let (head, rest) = (&data[..end], &data[end + 1..]);
        read(&[&before_head(head), head, rest].concat());
    }
});

fn read(bytes: &[u8]) {
    std::fs::write(FILE.path(), bytes).expect("written");
    read_plan(&File::open(FILE.path()).expect("there"));
}
