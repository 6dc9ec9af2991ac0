//! What operators write: the configuration file, or, where the first byte is odd, the file of API keys.
#![no_main]

use std::ffi::OsString;
use std::fs;
use std::sync::LazyLock;

use cenet_serve::access::{Access, KeySource};
use cenet_serve::config::{ServeConfig, parse_with_file};
use clap::{Args, Command, FromArgMatches};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a file"));

/// Words of a key's line that are as long may be a key.
const SECRET: usize = 20;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    fs::write(FILE.path(), data).expect("written");
    if choice & 1 == 0 { configuration() } else { keys(data) }
});

fn configuration() {
    let command = Command::new("fuzz").subcommand(ServeConfig::augment_args(Command::new("serve")));
    let arguments = ["fuzz".into(), "serve".into(), "--config".into(), OsString::from(FILE.path())];
    match parse_with_file(command, &arguments) {
        Ok(matches) => {
            let (_, options) = matches.subcommand().expect("serve");
            let config = ServeConfig::from_arg_matches(options).expect("what was parsed fits");
            let _ = config.models.repository_options();
            assert!(config.server.io_threads() > 0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn keys(data: &[u8]) {
    let source = KeySource { file: Some(FILE.path().into()), lines: Vec::new() };
    if let (Err(error), Ok(text)) = (Access::of(source, &[]), str::from_utf8(data)) {
        let error = error.replace(&FILE.path().display().to_string(), "");
        for word in text.split_whitespace().filter(|word| word.len() >= SECRET) {
            assert!(!error.contains(word), "{error:?} tells {word:?}");
        }
    }
}
