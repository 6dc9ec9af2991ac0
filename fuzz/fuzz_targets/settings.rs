//! What operators write: the configuration file, or, where the first byte is odd, the file of API keys.
#![no_main]

#[path = "shared/file.rs"]
mod file;

use std::ffi::OsString;
use std::path::Path;

use cenet_serve::access::{Access, KeySource};
use cenet_serve::config::{ServeConfig, parse_with_file};
use clap::{Args, Command, FromArgMatches};
use libfuzzer_sys::fuzz_target;

/// Words of a key's line that are as long may be a key.
const SECRET: usize = 20;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let path = file::holding(data);
    if choice & 1 == 0 { configuration(path) } else { keys(path, data) }
});

fn configuration(path: &Path) {
    let command = Command::new("fuzz").subcommand(ServeConfig::augment_args(Command::new("serve")));
    let arguments = ["fuzz".into(), "serve".into(), "--config".into(), OsString::from(path)];
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

fn keys(path: &Path, data: &[u8]) {
    let source = KeySource { file: Some(path.into()), lines: Vec::new() };
    if let (Err(error), Ok(text)) = (Access::of(source, &[]), str::from_utf8(data)) {
        let error = error.replace(&path.display().to_string(), "");
        for word in text.split_whitespace().filter(|word| word.len() >= SECRET) {
            assert!(!error.contains(word), "{error:?} tells {word:?}");
        }
    }
}
