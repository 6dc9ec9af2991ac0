//! The report as one HTML file that asks nobody: style and curves are in it, and the numbers, as JSON.

use super::svg::{Axis, Curve, chart, escape};
use super::table::label;
use super::{Knee, Load, Report, RunReport};

const STYLE: &str = include_str!("../../../assets/load/report.css");

/// The report of a load.
pub fn html(report: &Report) -> String {
    let model = report.model.as_deref().map(|name| format!(", model {name}")).unwrap_or_default();
    let title = escape(&format!("{} over {} at {}{model}", report.task, report.protocol, report.url));
    let interrupted = if report.interrupted { "<p>It was interrupted: the last run is shorter.</p>" } else { "" };
    let json = serde_json::to_string(report).unwrap_or_default().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p>About {}; {} s a run. In a closed loop each client waits for its answer; in an open loop \
         latency counts from the moment at which a request was due.</p>\n{interrupted}{}{}\n\
         <h2>Latency of the requests</h2>\n{}\n{}\
         <script type=\"application/json\" id=\"report\">{json}</script>\n</body>\n</html>\n",
        if report.pictures == 1 { "one picture".to_owned() } else { format!("{} pictures by turns", report.pictures) },
        report.duration_s,
        report.knee.map(|knee| knee_text(&knee)).unwrap_or_default(),
        table(&report.runs),
        latency_chart(&report.runs),
        by_load_chart(&report.runs),
    )
}

fn knee_text(knee: &Knee) -> String {
    let bound =
        knee.p99_bound_ms.map(|bound| format!(" within {bound:.1} ms for all but a hundredth")).unwrap_or_default();
    match knee.rate_per_s {
        Some(rate) => format!("<p>The server keeps up with <strong>{rate:.1} requests a second</strong>{bound}.</p>\n"),
        None => "<p>The server kept up with none of the rates that were tried.</p>\n".into(),
    }
}

fn table(runs: &[RunReport]) -> String {
    let head = ["", "requests", "images/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed"];
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    let rows: String = runs.iter().map(table_row).collect();
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>")
}

fn table_row(run: &RunReport) -> String {
    let summary = &run.summary;
    let latencies = summary.latency_ms.map(|latency| {
        [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(|latency| format!("{latency:.2}"))
    });
    let latencies = latencies.unwrap_or_default().map(|text| format!("<td>{text}</td>")).concat();
    let failed = summary.failed.iter().map(|(code, failures)| format!("{} {}", failures.count, escape(code)));
    let failed = failed.collect::<Vec<_>>().join("<br>");
    let (name, requests, rate) = (label(run.load), summary.requests, summary.answered_per_s);
    format!("<tr><th>{name}</th><td>{requests}</td><td>{rate:.1}</td>{latencies}<td>{failed}</td></tr>\n")
}

/// What share of the requests was answered within which time.
fn latency_chart(runs: &[RunReport]) -> String {
    let curve = |run: &RunReport| {
        // the last point is at 100%, as far from any share as can be: its latency stands at the share before it
        let most = 1.0 - 1.0 / (run.summary.answered.max(2) as f64);
        let points = run.summary.curve_ms.iter().map(|[share, latency]| [share.min(most), *latency]);
        Curve { name: label(run.load), points: points.collect() }
    };
    let curves: Vec<_> = runs.iter().map(curve).filter(|curve| !curve.points.is_empty()).collect();
    let points = || curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return "<p>No request was answered.</p>".into();
    }
    let [least, most] = extremes(points().map(|point| point[1]));
    let share = extremes(points().map(|point| point[0]))[1];
    chart(&Axis::shares("share of the requests", share), &Axis::logarithmic("ms", least, most), &curves)
}

/// How latency and what is answered change with the rate, where several rates were asked.
fn by_load_chart(runs: &[RunReport]) -> String {
    let mut open: Vec<_> = runs
        .iter()
        .filter_map(|run| match (run.load, run.summary.latency_ms) {
            (Load::Open { rate_per_s }, Some(latency)) => Some((rate_per_s, latency, run.summary.answered_per_s)),
            _ => None,
        })
        .collect();
    if open.len() < 2 {
        return String::new();
    }
    open.sort_by(|a, b| a.0.total_cmp(&b.0));
    let curve = |name: &str, value: fn(&(f64, crate::load::Percentiles, f64)) -> f64| Curve {
        name: name.into(),
        points: open.iter().map(|run| [run.0, value(run)]).collect(),
    };
    let latencies = [curve("p50", |run| run.1.p50), curve("p99", |run| run.1.p99)];
    let [least, most] = extremes(latencies.iter().flat_map(|curve| &curve.points).map(|point| point[1]));
    let most_asked = extremes(open.iter().map(|run| run.0))[1];
    let asked = Axis::linear("requests asked each second", most_asked);
    let answered = [curve("answered", |run| run.2)];
    format!(
        "<h2>Latency by rate</h2>\n{}\n<h2>Answered by rate</h2>\n{}\n",
        chart(&asked, &Axis::logarithmic("ms", least, most), &latencies),
        chart(&asked, &Axis::linear("answered each second", most_asked), &answered),
    )
}

/// The least and the most of numbers, of which there is one at least.
fn extremes(numbers: impl Iterator<Item = f64>) -> [f64; 2] {
    numbers.fold([f64::INFINITY, f64::NEG_INFINITY], |[least, most], number| [least.min(number), most.max(number)])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::super::tally::Tally;
    use super::*;

    fn run(load: Load, latency_ms: u64) -> RunReport {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for number in 0..1000 {
            tally.record(begun + Duration::from_secs(1), Duration::from_millis(latency_ms + number % 10), Ok(()));
        }
        tally.record(begun, Duration::from_millis(1), Err("<overloaded>"));
        RunReport { load, summary: tally.summary() }
    }

    fn report(runs: Vec<RunReport>) -> Report {
        let knee = Knee { rate_per_s: Some(200.0), p99_bound_ms: Some(20.0), answered_share: 0.97 };
        Report {
            url: "http://here:8000".into(),
            protocol: "http".into(),
            task: "classify".into(),
            model: Some("<script>".into()),
            pictures: 3,
            duration_s: 1.0,
            runs,
            knee: Some(knee),
            interrupted: false,
        }
    }

    #[test]
    fn every_run_has_its_curve_and_nothing_breaks_out() {
        let runs = [100.0, 200.0, 400.0].map(|rate_per_s| run(Load::Open { rate_per_s }, rate_per_s as u64));
        let text = html(&report(runs.to_vec()));
        assert_eq!(text.matches("<polyline").count(), 3 + 2 + 1);
        assert!(!text.contains("<script>") && !text.contains("<overloaded>"), "names are escaped");
        assert!(!text.contains("NaN") && !text.contains("inf"), "every number is one");
        assert!(text.contains("<strong>200.0 requests a second</strong>"));
        let json = text.split("id=\"report\">").nth(1).and_then(|rest| rest.split("</script>").next());
        let told: serde_json::Value = serde_json::from_str(json.expect("the numbers")).expect("JSON");
        assert_eq!((&told["runs"][1]["rate_per_s"], &told["runs"][1]["answered"]), (&200.0.into(), &1000.into()));
    }

    #[test]
    fn what_answered_nothing_is_told_too() {
        let summary = Tally::new(Instant::now()).summary();
        let text = html(&report(vec![RunReport { load: Load::Closed { clients: 1 }, summary }]));
        assert!(text.contains("No request was answered"));
    }
}
