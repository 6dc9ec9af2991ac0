//! The file that a plan is kept in: any bytes, and once more with the first line as its head, behind the length and the checksum that it
//! should have.
#![no_main]

#[path = "shared/file.rs"]
mod file;

use std::fs::File;

use cenet_serve::model::fuzz::{before_head, read_plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let (head, rest) = (&data[..end], &data[end + 1..]);
        read(&[&before_head(head), head, rest].concat());
    }
});

fn read(bytes: &[u8]) {
    read_plan(&File::open(file::holding(bytes)).expect("there"));
}
