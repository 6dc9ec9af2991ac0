//! What became of the requests of a run, and the numbers that tell it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are told to a part in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;
/// An hour; what takes longer is told as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Latencies in microseconds, those of requests that were answered and of those that failed apart.
#[derive(Debug, Clone)]
pub struct Tally {
    answered: Histogram<u64>,
    failed: BTreeMap<String, Histogram<u64>>,
    begun: Instant,
    last: Instant,
}

impl Tally {
    /// Of a run that begins at `begun`.
    pub fn new(begun: Instant) -> Self {
        Self { answered: histogram(), failed: BTreeMap::new(), begun, last: begun }
    }

    /// Counts a request that ended at `end`, `latency` after it was begun or should have been; with the code of its failure, if it is one.
    pub fn record(&mut self, end: Instant, latency: Duration, outcome: Result<(), &str>) {
        let latencies = match outcome {
            Ok(()) => &mut self.answered,
            Err(code) => self.failed.entry(code.to_owned()).or_insert_with(histogram),
        };
        latencies.saturating_record(latency.as_micros().try_into().unwrap_or(LONGEST_US));
        self.last = self.last.max(end);
    }

    /// Requests that have ended.
    pub fn ended(&self) -> u64 {
        self.answered.len() + self.failed.values().map(Histogram::len).sum::<u64>()
    }

    /// The numbers: rates are over the time from the run's beginning to its last end.
    pub fn summary(&self) -> Summary {
        let seconds = (self.last - self.begun).as_secs_f64();
        let failed = self.failed.iter().map(|(code, latencies)| (code.clone(), Failures::of(latencies)));
        Summary {
            requests: self.ended(),
            answered: self.answered.len(),
            answered_per_s: if seconds > 0.0 { self.answered.len() as f64 / seconds } else { 0.0 },
            seconds,
            latency_ms: (!self.answered.is_empty()).then(|| Percentiles::of(&self.answered)),
            failed: failed.collect(),
            curve_ms: curve(&self.answered),
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS).expect("the bounds are in order")
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Requests that ended.
    pub requests: u64,
    /// Those that were answered well.
    pub answered: u64,
    /// Well answered, each second.
    pub answered_per_s: f64,
    /// From the beginning to the last end.
    pub seconds: f64,
    /// Of those that were answered well; none where there is none.
    pub latency_ms: Option<Percentiles>,
    /// The others, by the code of their failure.
    pub failed: BTreeMap<String, Failures>,
    /// Share of the well answered, and the latency in ms that it stayed within: for a curve.
    pub curve_ms: Vec<[f64; 2]>,
}

impl Summary {
    /// The share of the requests that failed.
    pub fn failed_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { (self.requests - self.answered) as f64 / self.requests as f64 }
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it: so many percent took no longer")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    fn of(latencies: &Histogram<u64>) -> Self {
        let at = |share| milliseconds(latencies.value_at_quantile(share));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: milliseconds(latencies.max()) }
    }
}

/// Requests that failed alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Failures {
    /// So many.
    pub count: u64,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// All but a hundredth took no longer.
    pub p99_ms: f64,
}

impl Failures {
    fn of(latencies: &Histogram<u64>) -> Self {
        let at = |share| milliseconds(latencies.value_at_quantile(share));
        Self { count: latencies.len(), p50_ms: at(0.5), p99_ms: at(0.99) }
    }
}

/// Points at 0, 1/2, 3/4, 7/8 ... of the requests, each half divided in five.
fn curve(latencies: &Histogram<u64>) -> Vec<[f64; 2]> {
    let point = |step: hdrhistogram::iterators::IterationValue<u64>| {
        [step.quantile_iterated_to(), milliseconds(step.value_iterated_to())]
    };
    latencies.iter_quantiles(5).map(point).collect()
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_known_run() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for number in 1..=1000 {
            let latency = Duration::from_millis(number);
            tally.record(begun + latency, latency, Ok(()));
        }
        for _ in 0..10 {
            tally.record(begun + Duration::from_secs(2), Duration::from_micros(300), Err("overloaded"));
        }
        let summary = tally.summary();
        assert_eq!((summary.requests, summary.answered), (1010, 1000));
        assert_eq!(summary.seconds, 2.0, "to the last end, a failure's");
        assert_eq!(summary.answered_per_s, 500.0);
        let latency = summary.latency_ms.expect("answered");
        for (told, expected) in
            [(latency.p50, 500.0), (latency.p90, 900.0), (latency.p99, 990.0), (latency.max, 1000.0)]
        {
            assert!((told / expected - 1.0).abs() < 2e-3, "{told} instead of {expected}");
        }
        assert_eq!(summary.failed["overloaded"], Failures { count: 10, p50_ms: 0.3, p99_ms: 0.3 });
        assert!((summary.failed_share() - 10.0 / 1010.0).abs() < 1e-9);
    }

    #[test]
    fn a_curve_ends_with_the_longest() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for number in 1..=4096_u64 {
            tally.record(begun, Duration::from_micros(number * 10), Ok(()));
        }
        let curve = tally.summary().curve_ms;
        assert!(curve.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1]), "{curve:?}");
        let [share, latency] = curve[curve.len() - 1];
        assert_eq!(share, 1.0);
        assert!((latency / 40.96 - 1.0).abs() < 2e-3, "{latency}");
    }

    #[test]
    fn nothing_is_no_number() {
        let summary = Tally::new(Instant::now()).summary();
        assert_eq!((summary.requests, summary.answered_per_s, summary.failed_share()), (0, 0.0, 0.0));
        assert_eq!(summary.latency_ms, None);
    }

    #[test]
    fn what_takes_for_ever_is_told_as_an_hour() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        tally.record(begun, Duration::MAX, Ok(()));
        let max = tally.summary().latency_ms.expect("answered").max;
        assert!((max / 3_600_000.0 - 1.0).abs() < 2e-3, "{max}");
    }
}
