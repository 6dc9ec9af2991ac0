//! Where keys are kept: in a file, a line each, or among the options.

use std::path::PathBuf;

use super::key::Key;
use crate::changes::Changes;

/// Where keys are kept.
#[derive(Debug, Clone, Default)]
pub struct KeySource {
    /// Lines; what follows `#` is a comment.
    pub file: Option<PathBuf>,
    /// Lines.
    pub lines: Vec<String>,
}

impl KeySource {
    pub(super) fn is_empty(&self) -> bool {
        self.file.is_none() && self.lines.is_empty()
    }

    /// Every key.
    pub(super) fn read(&self) -> Result<Vec<Key>, String> {
        let mut keys = parse(&self.lines.join("\n")).map_err(|error| format!("--api-keys: {error}"))?;
        if let Some(file) = &self.file {
            let fail = |error: String| format!("{}: {error}", file.display());
            let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
            keys.extend(parse(&text).map_err(fail)?);
        }
        if keys.is_empty() { Err("there is no API key, so nobody would be let in".into()) } else { Ok(keys) }
    }

    /// The changes of the file, if there is one.
    pub(super) fn changes(&self) -> Changes {
        Changes::of(self.file.iter().cloned().collect())
    }
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(index, line)| line.parse().map_err(|error| format!("line {}: {error}", index + 1))).collect()
}
