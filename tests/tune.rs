//! `cenet-serve tune`, for a model that is set badly: what it writes is better, loads, and leaves the rest of the file alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cenet_serve::model::{LoadOptions, Model, ModelDirectory};

/// Each batch waits this long for more pictures than there are clients.
const BAD: &str =
    "\n[batching] # by hand\nmax_size = 32 # too many\nqueue_delay_us = 200000 # too long\nqueue_length = 50\n";

fn tune(model: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cenet-serve"));
    command.arg("tune").arg(model).args(["--repeats", "3", "--duration", "50ms"]).args(options);
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_bad_setting_is_replaced_and_the_rest_stays() {
    let root = tempfile::tempdir().expect("a folder");
    let model = root.path().join("tiny_ce/1");
    fs::create_dir_all(&model).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1");
    for entry in fs::read_dir(shipped).expect("the model is there") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), model.join(entry.file_name())).expect("copied");
    }
    let file = model.join("model.toml");
    let before = fs::read_to_string(&file).expect("readable") + BAD;
    fs::write(&file, &before).expect("written");

    let dry = tune(&model, &["--dry-run"]);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert!(text(&dry.stdout).contains("queue_delay_us"), "{}", text(&dry.stdout));
    assert_eq!(fs::read_to_string(&file).expect("readable"), before, "it only tells");

    let output = tune(&model, &[]);
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("written to"), "{told}{}", text(&output.stderr));
    let after = fs::read_to_string(&file).expect("readable");
    for kept in ["[batching] # by hand", "# too many", "# too long", "queue_length = 50"] {
        assert!(after.contains(kept), "{kept} in\n{after}");
    }
    let directory = ModelDirectory::read(&model).expect("good");
    let batching = &directory.manifest.batching;
    let waits = batching.queue_delay_us == Some(200_000) && batching.max_size > 16;
    assert!(!waits, "{batching:?}");
    let loaded = Model::load(&model, &LoadOptions::default()).expect("it loads");
    assert!(loaded.golden.is_some(), "and reproduces its golden pair");
    let files: Vec<_> = fs::read_dir(&model).expect("a folder").map(|entry| entry.expect("one").file_name()).collect();
    assert!(!files.iter().any(|name| name == "model.toml.new"), "nothing is left behind: {files:?}");
}

#[test]
fn what_cannot_be_tuned_is_told() {
    let output = tune(Path::new("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere"));
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1");
    let output = tune(&model, &["--image", "Cargo.toml", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("pictures failed"), "{}", text(&output.stderr));
}
