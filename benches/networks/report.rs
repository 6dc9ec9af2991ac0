//! The measurement in Markdown, with a plot.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::profile::Shares;
use crate::ways::{Measured, Way};

/// A row for each way: median and spread of times, and of ratios to the first way.
pub(crate) fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    for Measured { threads, batch, times_ms } in measured {
        for (way, times) in times_ms {
            let [low, time, high] = quartiles(times);
            let ratio = ratio(times, &times_ms[0].1);
            let _ = writeln!(text, "| {threads} | {batch} | {way} | {time:.1} ({low:.1} to {high:.1}) | {ratio} |");
        }
    }
    text
}

/// Median and quartiles of the ratios, turn by turn.
fn ratio(times: &[f64], to: &[f64]) -> String {
    let ratios: Vec<f64> = times.iter().zip(to).map(|(time, to)| time / to).collect();
    let [low, ratio, high] = quartiles(&ratios);
    format!("{ratio:.3} ({low:.3} to {high:.3})")
}

/// What one way takes of another's time, of those that were compared.
const PAIRS: [(Way, Way); 5] = [
    (Way::Planned, Way::PlainPlanned),
    (Way::UsualExport, Way::Planned),
    (Way::PlannedInt8, Way::PlainInt8),
    (Way::Planned, Way::PlannedInt8),
    (Way::Eager, Way::Planned),
];

fn pairs(measured: &[Measured]) -> String {
    let mut text = String::from("\n| threads | batch | | of the time |\n|---|---|---|---|\n");
    for Measured { threads, batch, times_ms } in measured {
        let of = |way: Way| times_ms.iter().find(|(name, _)| *name == way.name()).map(|(_, times)| times);
        for (way, to) in PAIRS {
            let (Some(times), Some(others)) = (of(way), of(to)) else { continue };
            let ratio = ratio(times, others);
            let _ = writeln!(text, "| {threads} | {batch} | {} to {} | {ratio} |", way.name(), to.name());
        }
    }
    text
}

/// Everything that was measured.
pub(crate) fn text(measured: &[Measured], shares: &[Shares], loads: &[Vec<f64>; 2]) -> String {
    let mut text = String::from(
        "| threads | batch | | ms: median (quartiles) | to ResNet-50, turn by turn |\n|---|---|---|---|---|\n",
    );
    text += &table(measured);
    text += &pairs(measured);
    text += "\n| threads | operator of the planned network, one picture | ms | share |\n|---|---|---|---|\n";
    for Shares { threads, by_operator } in shares {
        let total: f64 = by_operator.iter().map(|(_, time)| time).sum();
        for (operator, time) in by_operator.iter().take(6) {
            let _ = writeln!(text, "| {threads} | {operator} | {time:.2} | {:.1}% |", time / total * 100.0);
        }
    }
    let ([_, plain, _], [_, planned, _]) = (quartiles(&loads[0]), quartiles(&loads[1]));
    let ratio = ratio(&loads[1], &loads[0]);
    let _ = writeln!(
        text,
        "\nLoading ResNet-50 takes {plain:.0} ms, CE-ResNet-50 by a kept plan {planned:.0} ms, of its time {ratio}."
    );
    text
}

/// Lower quartile, median, upper quartile.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}

const MARK: &str = "<!-- measured -->";

/// Replaces what stands between two marks in the file at `path`, or writes it, and puts the plot beside it.
pub(crate) fn write(path: &Path, text: &str, measured: &[Measured]) {
    let before = fs::read_to_string(path).unwrap_or_default();
    let parts: Vec<_> = before.split(MARK).collect();
    let whole = match parts[..] {
        [head, _, tail] => format!("{head}{MARK}\n{text}{MARK}{tail}"),
        _ => format!("{MARK}\n{text}{MARK}\n"),
    };
    fs::write(path, whole).expect("the report is written");
    fs::write(path.with_extension("svg"), plot(measured)).expect("the plot is written");
}

const COLORS: [&str; 7] = ["#888888", "#c0504d", "#e0a030", "#2e7d32", "#bbbbbb", "#66bb6a", "#7e57c2"];
const BAR: f64 = 16.0;
const LEFT: f64 = 210.0;
const WIDTH: f64 = 420.0;

/// Bars of milliseconds a picture.
fn plot(measured: &[Measured]) -> String {
    let of_picture = |times: &[f64], batch: usize| quartiles(times)[1] / batch as f64;
    let bars = measured.iter().flat_map(|row| row.times_ms.iter().map(move |(_, times)| of_picture(times, row.batch)));
    let longest = bars.fold(1.0, f64::max);
    let (mut body, mut top) = (String::new(), 10.0);
    for Measured { threads, batch, times_ms } in measured {
        let _ = writeln!(
            body,
            "<text x='4' y='{:.0}' font-weight='bold'>threads {threads}, batch {batch}</text>",
            top + 12.0
        );
        top += 18.0;
        for ((way, times), color) in times_ms.iter().zip(COLORS) {
            let time = of_picture(times, *batch);
            let (length, middle) = (time / longest * WIDTH, top + 12.0);
            let _ = writeln!(body, "<text x='12' y='{middle:.0}'>{way}</text>");
            let _ = writeln!(
                body,
                "<rect x='{LEFT}' y='{top:.0}' width='{length:.1}' height='{}' fill='{color}'/>",
                BAR - 3.0
            );
            let _ =
                writeln!(body, "<text x='{:.0}' y='{middle:.0}'>{time:.1} ms a picture</text>", LEFT + length + 4.0);
            top += BAR;
        }
        top += 8.0;
    }
    let width = LEFT + WIDTH + 120.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{top:.0}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n{body}</svg>\n"
    )
}
