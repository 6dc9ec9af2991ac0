#![forbid(unsafe_code)]
//! The program `cenet-serve`; see [`cenet_serve::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cenet_serve::cli::main(&std::env::args_os().collect::<Vec<_>>())
}
