//! How often something may be done: a bucket that fills evenly and holds what one second brings.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many times a second.
#[derive(Debug)]
pub(super) struct Rate {
    /// Between two, where they come evenly.
    interval: Duration,
    /// When the bucket will be full; in the past when it is.
    full: Mutex<Instant>,
}

impl Rate {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.get(), full: Mutex::new(Instant::now()) }
    }

    /// Whether there is one left now; takes it.
    pub(super) fn takes_now(&self) -> bool {
        self.takes(Instant::now())
    }

    fn takes(&self, now: Instant) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full).max(now) + self.interval;
        let left = next <= now + Duration::from_secs(1);
        if left {
            *full = next;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_them_at_once_and_then_evenly() {
        let rate = Rate::new(NonZeroU32::new(4).expect("not zero"));
        let start = Instant::now();
        let taken = |at_ms| (0..10).take_while(|_| rate.takes(start + Duration::from_millis(at_ms))).count();
        assert_eq!([taken(0), taken(200), taken(250), taken(800), taken(10_000)], [4, 0, 1, 2, 4]);
    }
}
