//! A run in a line.

use super::{Load, RunReport};

/// What the columns are.
pub const HEAD: &str =
    "                        requests   images/s    p50 ms    p90 ms    p99 ms  p99.9 ms    max ms  failed";

/// A run as a line below [`HEAD`].
pub fn row(run: &RunReport) -> String {
    let summary = &run.summary;
    let latencies = match summary.latency_ms {
        None => format!("{:>10}", "-").repeat(5),
        Some(latency) => {
            let all = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
            all.map(|latency| format!("{latency:10.2}")).concat()
        }
    };
    let failed = summary.failed.iter().map(|(code, failures)| format!("{} {code}", failures.count));
    let failed: Vec<_> = failed.collect();
    let failed = if failed.is_empty() { "none".to_owned() } else { failed.join(", ") };
    format!("{:22}{:10} {:10.1}{latencies}  {failed}", label(run.load), summary.requests, summary.answered_per_s)
}

/// How the server was loaded, in words.
pub(super) fn label(load: Load) -> String {
    match load {
        Load::Closed { clients: 1 } => "1 client".into(),
        Load::Closed { clients } => format!("{clients} clients"),
        Load::Open { rate_per_s } => format!("{rate_per_s:.1}/s asked"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::super::tally::Tally;
    use super::*;

    #[test]
    fn columns_stand_below_their_names() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for _ in 0..100 {
            tally.record(begun + Duration::from_secs(1), Duration::from_millis(5), Ok(()));
        }
        tally.record(begun, Duration::from_millis(1), Err("overloaded"));
        let row = row(&RunReport { load: Load::Closed { clients: 8 }, summary: tally.summary() });
        for (name, value) in [("requests", "101"), ("images/s", "100.0"), ("p99 ms", "5.00"), ("max ms", "5.00")] {
            let end = HEAD.find(name).expect("a column") + name.len();
            assert!(row[..end].ends_with(value), "{name}:\n{HEAD}\n{row}");
        }
        assert!(row.ends_with("1 overloaded"), "{row}");
    }
}
