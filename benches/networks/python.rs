//! What Python brings: a network in 8 bits by `cenet-export`, and PyTorch running one.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cenet_serve::model::ModelDirectory;
use ndarray::ArrayD;

use crate::ways::Runs;

/// Pictures that give activations their ranges; times don't depend on them.
const CALIBRATION: &str = "docs/images";

/// The network of `directory` in 8 bits, as the next version of it.
pub(crate) fn quantized(python: &Path, directory: &Path) -> ModelDirectory {
    let output: PathBuf = directory.with_file_name("2");
    let status = Command::new(python)
        .args(["-m", "cenet.export", "--force", "--quantize", "--calibration", CALIBRATION, "--from"])
        .arg(directory)
        .arg("--output")
        .arg(&output)
        .status()
        .expect("Python with the package cenet");
    assert!(status.success(), "{} was not quantised", directory.display());
    ModelDirectory::read(&output).expect("a good directory")
}

/// A Python process in which PyTorch runs CE-ResNet-50.
pub(crate) struct Eager {
    process: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Eager {
    pub(crate) fn start(python: &Path, threads: usize) -> Self {
        let mut process = Command::new(python)
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/benches/networks/eager.py"), &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python with PyTorch");
        let asked = process.stdin.take().expect("it is piped");
        let told = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, asked, told }
    }
}

impl Runs for Eager {
    fn run_ms(&mut self, pictures: &ArrayD<f32>) -> f64 {
        writeln!(self.asked, "{}", pictures.shape()[0]).expect("it runs");
        let mut line = String::new();
        self.told.read_line(&mut line).expect("it runs");
        line.trim().parse().expect("milliseconds")
    }
}

impl Drop for Eager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
