//! The file that a plan was kept in.
#![no_main]

use cenet_serve::model::fuzz::read_plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    read_plan(data);
});
