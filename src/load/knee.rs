//! The search for the knee: the highest rate that a server keeps up with. Rates grow by a factor until one is too much, then the
//! space between is halved.

use super::tally::Summary;

/// What keeping up is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// A hundredth may take longer, in milliseconds; five times the p99 of the first rate when absent.
    pub p99_ms: Option<f64>,
    /// Answered, of what was asked in a second.
    pub answered_share: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { p99_ms: None, answered_share: 0.97 }
    }
}

/// Latency beyond which requests queue, as a multiple of the latency of a server with little to do.
pub(super) const LATENCY_FACTOR: f64 = 5.0;
/// From one rate to the next while all goes well.
const GROWTH: f64 = 1.5;
/// The knee is told to this part of it.
const PRECISION: f64 = 0.05;
/// Rates to grow through at most: 1.5^40 is ten million times the first.
const MOST_STEPS: usize = 40;

/// Whether a server kept up, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    KeptUp,
    /// Latency was over its bound.
    TooSlow,
    /// It answered less than it was asked.
    TooMuch,
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    bounds: Bounds,
    first: f64,
    p99_ms: Option<f64>,
    good: Option<f64>,
    bad: Option<f64>,
    steps: usize,
}

impl Search {
    /// A search that begins at `first` requests a second.
    pub fn new(first: f64, bounds: Bounds) -> Self {
        Self { bounds, first, p99_ms: bounds.p99_ms, good: None, bad: None, steps: 0 }
    }

    /// The rate to try next; none when the knee is found.
    pub fn next_rate(&self) -> Option<f64> {
        match (self.good, self.bad) {
            _ if self.steps >= MOST_STEPS => None,
            (None, None) => Some(self.first),
            (Some(good), None) => Some(good * GROWTH),
            // even the first was too much: begin lower
            (None, Some(bad)) => (bad > self.first / 1000.0).then_some(bad / GROWTH / GROWTH),
            (Some(good), Some(bad)) => (bad / good > 1.0 + PRECISION).then_some((good * bad).sqrt()),
        }
    }

    /// What came of `rate`.
    pub fn tell(&mut self, rate: f64, summary: &Summary) -> Verdict {
        self.steps += 1;
        let verdict = self.judge(rate, summary);
        match verdict {
            Verdict::KeptUp => self.good = Some(self.good.map_or(rate, |good| good.max(rate))),
            _ => self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate))),
        }
        verdict
    }

    fn judge(&mut self, rate: f64, summary: &Summary) -> Verdict {
        let Some(latency) = summary.latency_ms else { return Verdict::TooMuch };
        if summary.answered_per_s < rate * self.bounds.answered_share {
            return Verdict::TooMuch;
        }
        let bound = *self.p99_ms.get_or_insert(latency.p99 * LATENCY_FACTOR);
        if latency.p99 > bound { Verdict::TooSlow } else { Verdict::KeptUp }
    }

    /// The highest rate that the server kept up with, of those tried.
    pub fn knee(&self) -> Option<f64> {
        self.good
    }

    /// The latency that a hundredth was allowed to exceed, in milliseconds, once that is known.
    pub fn p99_bound_ms(&self) -> Option<f64> {
        self.p99_ms
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::tally::Tally;
    use super::*;

    /// A server that answers in a millisecond and queues at `capacity`: waits grow as those of a single server of random work.
    fn run(rate: f64, capacity: f64) -> Summary {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        let load = rate / capacity;
        let latency = if load < 1.0 { 1e-3 / (1.0 - load) } else { 1.0 };
        let answered = (rate.min(capacity) * 10.0) as u64;
        for _ in 0..answered {
            tally.record(begun + Duration::from_secs(10), Duration::from_secs_f64(latency), Ok(()));
        }
        tally.summary()
    }

    fn search(first: f64, capacity: f64, bounds: Bounds) -> (Option<f64>, usize) {
        let mut search = Search::new(first, bounds);
        let mut tried = 0;
        while let Some(rate) = search.next_rate() {
            search.tell(rate, &run(rate, capacity));
            tried += 1;
        }
        (search.knee(), tried)
    }

    #[test]
    fn the_knee_is_where_latency_is_at_its_bound() {
        // 4 ms at three quarters of what it can do
        let bounds = Bounds { p99_ms: Some(4.0), ..Bounds::default() };
        for first in [10.0, 400.0, 5000.0] {
            let (knee, tried) = search(first, 800.0, bounds);
            let knee = knee.expect("there is one");
            assert!((570.0..=601.0).contains(&knee), "{knee} from {first}");
            assert!(tried < 20, "{tried}");
        }
    }

    #[test]
    fn without_a_bound_it_is_a_multiple_of_the_first_latency() {
        let (knee, _) = search(8.0, 800.0, Bounds::default());
        // five times the latency of a server at a hundredth of its load: at 0.8 of it
        assert!((600.0..=650.0).contains(&knee.expect("there is one")), "{knee:?}");
    }

    #[test]
    fn what_is_not_answered_is_too_much_however_fast() {
        let bounds = Bounds { p99_ms: Some(10_000.0), ..Bounds::default() };
        let (knee, _) = search(100.0, 800.0, bounds);
        assert!((760.0..=830.0).contains(&knee.expect("there is one")), "{knee:?}");
    }

    #[test]
    fn a_server_that_answers_nothing_has_none() {
        assert_eq!(search(100.0, 0.0, Bounds::default()).0, None);
    }
}
