#![forbid(unsafe_code)]
//! Command line of `cenet-serve`.

fn main() {}
