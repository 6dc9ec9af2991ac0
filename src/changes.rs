//! Notices that files have changed, by looking at them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// What tells one state of a file from another, as a rule: when it was written, and its length.
type State = Option<(SystemTime, u64)>;

/// The changes of some files.
#[derive(Debug)]
pub struct Changes {
    files: Vec<PathBuf>,
    /// None before the first look.
    seen: Option<Vec<State>>,
    looks: Interval,
}

impl Changes {
    /// Of `files`, whatever their states are now: the first look finds a change.
    pub fn of(files: Vec<PathBuf>) -> Self {
        let mut looks = interval(PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files, seen: None, looks }
    }

    /// Ends when one of the files is another than before; never where there are none.
    pub async fn next(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            self.looks.tick().await;
            let now = Some(self.files.iter().map(|file| look(file)).collect());
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn look(file: &Path) -> State {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
