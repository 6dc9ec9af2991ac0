//! Where keys are kept: in a file, a line each, or among the options.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::key::Key;

/// Between two looks at the file.
const PAUSE: Duration = Duration::from_secs(1);

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

    /// The changes of the file, where there is one.
    pub(super) fn changes(&self) -> Option<Changes> {
        let file = self.file.clone()?;
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // the first look finds another state than none
        Some(Changes { file, seen: None, ticks })
    }
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(index, line)| line.parse().map_err(|error| format!("line {}: {error}", index + 1))).collect()
}

/// A file's changes.
pub(super) struct Changes {
    file: PathBuf,
    seen: Option<(SystemTime, u64)>,
    ticks: Interval,
}

impl Changes {
    /// Ends when the file is another than before.
    pub(super) async fn next(&mut self) {
        loop {
            self.ticks.tick().await;
            let now = look(&self.file);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// What tells one state of a file from another, as a rule: when it was written, and its length.
fn look(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
