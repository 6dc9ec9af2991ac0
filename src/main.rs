#![forbid(unsafe_code)]
//! The program `cenet-serve`; see [`cenet_serve::cli`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// ONNX Runtime's wheels for Linux write an identity of the machine into the user's cache and report to their maker what runs, from the moment the
/// library is opened: before an interface could be asked not to. Where this variable is set, they don't.
const WITHOUT_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if std::env::var_os(WITHOUT_TELEMETRY).is_none() {
        let error = begin_anew(&arguments);
        eprintln!(
            "error: {WITHOUT_TELEMETRY} can't be set for this program: {error}; set it to 1, or to 0 to allow ONNX Runtime's telemetry"
        );
        return ExitCode::FAILURE;
    }
    cenet_serve::cli::main(&arguments)
}

/// Runs the program in the place of this process, with the variable; returns only if that fails. The environment of a process that runs already
/// can't be changed safely.
fn begin_anew(arguments: &[OsString]) -> io::Error {
    let Ok(program) = std::env::current_exe() else { return io::ErrorKind::NotFound.into() };
    let mut command = Command::new(program);
    if let Some((name, arguments)) = arguments.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env(WITHOUT_TELEMETRY, "1").exec()
}
