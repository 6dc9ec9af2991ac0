//! Curves, drawn as SVG without a library: axes, a line for each run, and its name where it ends.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
/// Left, right, upper and lower room for what stands around the curves.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 48.0;

/// A curve through points, with its name.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<[f64; 2]>,
}

/// An axis: its name, and where a value and its ticks lie on it.
pub(super) struct Axis {
    name: &'static str,
    /// The values at its two ends, after `scale`.
    ends: [f64; 2],
    scale: fn(f64) -> f64,
    /// Values that are marked, with what is written there.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From nothing to at least `most`, even steps.
    pub(super) fn linear(name: &'static str, most: f64) -> Self {
        let step = round_step(most.max(f64::MIN_POSITIVE) / 5.0);
        let count = (most / step).ceil().max(1.0) as u32;
        let ticks = (0..=count).map(|number| f64::from(number) * step).map(|value| (value, number_text(value)));
        Self { name, ends: [0.0, f64::from(count) * step], scale: |value| value, ticks: ticks.collect() }
    }

    /// Whole powers of ten around what lies from `least` to `most`.
    pub(super) fn logarithmic(name: &'static str, least: f64, most: f64) -> Self {
        let (first, last) = (log(least).floor() as i32, log(most).ceil() as i32);
        let last = last.max(first + 1);
        let ticks = (first..=last).map(|power| 10_f64.powi(power)).map(|value| (value, number_text(value)));
        Self { name, ends: [f64::from(first), f64::from(last)], scale: log, ticks: ticks.collect() }
    }

    /// Shares of requests: as far from the left as there are nines in them, to the last that `most` reaches.
    pub(super) fn shares(name: &'static str, most: f64) -> Self {
        let last = nines(most).ceil().clamp(2.0, 6.0);
        let named = [
            (0.0, "0"),
            (0.5, "50%"),
            (0.9, "90%"),
            (0.99, "99%"),
            (0.999, "99.9%"),
            (0.9999, "99.99%"),
            (0.99999, "99.999%"),
        ];
        let ticks = named.into_iter().filter(|(share, _)| nines(*share) <= last + 1e-9);
        Self {
            name,
            ends: [0.0, last],
            scale: nines,
            ticks: ticks.map(|(share, text)| (share, text.to_owned())).collect(),
        }
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let [first, last] = self.ends;
        (((self.scale)(value) - first) / (last - first)).clamp(0.0, 1.0)
    }
}

fn log(value: f64) -> f64 {
    value.max(1e-3).log10()
}

fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-6).log10()
}

/// The next of 1, 2, 5, 10, 20 ... that isn't less.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|round| *round >= step * 0.999).unwrap_or(step)
}

fn number_text(value: f64) -> String {
    if value >= 1.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

/// The curves over their axes.
pub(super) fn chart(across: &Axis, up: &Axis, curves: &[Curve]) -> String {
    let mut svg =
        format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{} by {}">"#, up.name, across.name);
    let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM);
    // writing to a string can't fail
    for (value, text) in &across.ticks {
        let (x, foot) = (x(*value), HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{x:.1} {TOP}V{foot}"/><text x="{x:.1}" y="{}" text-anchor="middle">{text}</text>"#,
            foot + 16.0
        );
    }
    for (value, text) in &up.ticks {
        let (y, end) = (y(*value), WIDTH - RIGHT);
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {y:.1}H{end}"/><text x="{}" y="{:.1}" text-anchor="end">{text}</text>"#,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (number, curve) in curves.iter().enumerate() {
        let class = format!("curve c{}", number % 6);
        let points: Vec<_> =
            curve.points.iter().map(|[across, up]| format!("{:.1},{:.1}", x(*across), y(*up))).collect();
        let _ = write!(svg, r#"<polyline class="{class}" points="{}"/>"#, points.join(" "));
        if let Some([across, up]) = curve.points.last() {
            let _ = write!(
                svg,
                r#"<text class="{class}" x="{:.1}" y="{:.1}">{}</text>"#,
                x(*across) + 6.0,
                y(*up) + 4.0,
                escape(&curve.name)
            );
        }
    }
    let _ = write!(
        svg,
        r#"<text x="{:.1}" y="{}" text-anchor="middle">{}</text><text x="14" y="{:.1}" text-anchor="middle" transform="rotate(-90 14 {:.1})">{}</text></svg>"#,
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        across.name,
        HEIGHT / 2.0 - 16.0,
        HEIGHT / 2.0 - 16.0,
        up.name
    );
    svg
}

/// Text as HTML and SVG have it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all() {
        let texts = |axis: &Axis| axis.ticks.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&Axis::linear("", 680.0)), ["0", "200", "400", "600", "800"]);
        assert_eq!(texts(&Axis::logarithmic("", 0.3, 250.0)), ["0.1", "1", "10", "100", "1000"]);
        assert_eq!(texts(&Axis::shares("", 0.999)), ["0", "50%", "90%", "99%", "99.9%"]);
        assert_eq!(Axis::linear("", 800.0).place(400.0), 0.5);
        assert!((Axis::shares("", 0.999).place(0.99) - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(Axis::linear("", 0.0).place(0.0), 0.0, "nothing at all is drawn, too");
    }
}
