//! How many sessions of a network run side by side, and with how many threads each.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What one picture may take on one thread before it gets several.
const PATIENCE: Duration = Duration::from_millis(25);

/// Sessions of one network on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instances {
    /// Sessions that run side by side.
    pub count: usize,
    /// Threads that each inference uses.
    pub threads: usize,
    /// Why so, for people.
    pub reason: String,
}

/// What is asked for; 0 leaves it open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceOptions {
    /// Sessions that run side by side.
    pub count: usize,
    /// Threads that each inference uses.
    pub threads: usize,
}

impl InstanceOptions {
    /// These, and `others` where these leave it open.
    pub(super) fn or(self, others: Self) -> Self {
        let first = |own, other| if own == 0 { other } else { own };
        Self { count: first(self.count, others.count), threads: first(self.threads, others.threads) }
    }

    /// Threads of the session that is timed before the choice is made.
    pub(super) fn trial_threads(self) -> usize {
        self.threads.max(1)
    }

    /// The choice for a network that takes `on_one_thread` for a picture, on a machine of `cores`.
    ///
    /// Sessions side by side answer more pictures than threads within one, because a network's threads wait for each other at
    /// every layer; they also need their own memory, and one picture alone then uses one core. So a picture gets as few threads as bring
    /// it under [`PATIENCE`], were they to share its work evenly, and the cores that are left run further pictures.
    pub(super) fn choose(self, on_one_thread: Duration, cores: usize) -> Instances {
        let needed = (on_one_thread.as_secs_f64() / PATIENCE.as_secs_f64()).ceil() as usize;
        let beside = |threads: usize| cores.checked_div(threads).unwrap_or(1).max(1);
        let picture_ms = on_one_thread.as_secs_f64() * 1e3;
        let (count, threads, reason) = match (self.count, self.threads) {
            (0, 0) => {
                let threads = needed.clamp(1, cores);
                (beside(threads), threads, format!("a picture takes {picture_ms:.1} ms on one thread"))
            }
            (0, threads) => (beside(threads), threads, "threads as configured".into()),
            (count, 0) => (count, beside(count), "instances as configured".into()),
            (count, threads) => (count, threads, "as configured".into()),
        };
        Instances { count, threads, reason: format!("{reason}, on {cores} cores") }
    }

    /// The choice for a network that a GPU runs: batches fill it better than sessions side by side, each of which would hold weights and
    /// scratch memory of its own there; and its threads on the CPU have next to nothing to do.
    pub(super) fn on_gpu(self) -> Instances {
        let reason = if self == Self::default() { "batches fill a GPU" } else { "as configured, on a GPU" };
        Instances { count: self.count.max(1), threads: self.threads.max(1), reason: reason.into() }
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, threads, reason } = self;
        write!(formatter, "{count} of {threads} threads ({reason})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(count: usize, threads: usize, on_one_thread_ms: u64, cores: usize) -> (usize, usize) {
        let instances = InstanceOptions { count, threads }.choose(Duration::from_millis(on_one_thread_ms), cores);
        (instances.count, instances.threads)
    }

    #[test]
    fn small_networks_run_side_by_side_and_large_ones_share_the_cores() {
        assert_eq!(chosen(0, 0, 5, 2), (2, 1));
        assert_eq!(chosen(0, 0, 5, 16), (16, 1));
        assert_eq!(chosen(0, 0, 80, 2), (1, 2));
        assert_eq!(chosen(0, 0, 80, 16), (4, 4));
        assert_eq!(chosen(0, 0, 10_000, 16), (1, 16));
        assert_eq!(chosen(0, 0, 0, 1), (1, 1));
    }

    #[test]
    fn a_gpu_has_one_session_unless_told_otherwise() {
        let chosen = |count, threads| {
            let instances = InstanceOptions { count, threads }.on_gpu();
            (instances.count, instances.threads)
        };
        assert_eq!(chosen(0, 0), (1, 1));
        assert_eq!(chosen(2, 0), (2, 1));
        assert_eq!(chosen(0, 4), (1, 4));
    }

    #[test]
    fn what_is_configured_is_kept() {
        assert_eq!(chosen(3, 5, 5, 2), (3, 5));
        assert_eq!(chosen(0, 2, 5, 8), (4, 2));
        assert_eq!(chosen(0, 4, 5, 2), (1, 4));
        assert_eq!(chosen(2, 0, 5, 8), (2, 4));
        assert_eq!(
            InstanceOptions { count: 0, threads: 2 }.or(InstanceOptions { count: 3, threads: 4 }),
            InstanceOptions { count: 3, threads: 2 }
        );
    }
}
