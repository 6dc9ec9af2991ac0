"""Tells of a run: a table by parts of it, every sample as CSV, a plot. `report.py FOLDER` draws a run anew."""

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tally import Tally
from verdict import TEN_MINUTES_S, WINDOW_S, Trend, windows
from watch import Sample

HEAD = ["minutes", "requests/s", "answered", "turned away", "wrong", "median ms", "RSS MB", "descriptors", "threads"]


def parts(samples: list[Sample], length_s: float = TEN_MINUTES_S) -> Iterator[list[Sample]]:
    for _, part in itertools.groupby(samples, lambda sample: (sample.time_s - 1) // length_s):
        yield list(part)


def table(samples: list[Sample]) -> str:
    """Markdown: a row for each ten minutes; of what goes up and down, the median."""
    rows, before = [HEAD, ["---"] * len(HEAD)], None
    for part in parts(samples):
        rows.append(row(before, part))
        before = part[-1]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def row(before: Sample | None, part: list[Sample]) -> list[str]:
    last = part[-1]

    def more(name: str) -> float:
        return getattr(last, name) - (getattr(before, name) if before else 0)

    def median(name: str) -> float:
        return float(np.nanmedian([getattr(sample, name) for sample in part]))

    begun_s = before.time_s if before else 0.0
    return [
        f"{begun_s / 60:.0f} to {last.time_s / 60:.0f}",
        f"{more('requests') / (last.time_s - begun_s):.1f}",
        *(f"{more(name):,}" for name in ("answered", "turned_away", "wrong")),
        f"{median('median_ms'):.1f}",
        f"{median('rss_kib') * 1024 / 1e6:.1f}",
        *(f"{median(name):.0f}" for name in ("descriptors", "threads")),
    ]


def kinds(tally: Tally) -> str:
    """Markdown: what became of each kind."""
    lines = ["| kind | outcomes |", "| --- | --- |"]
    for name, outcomes in sorted(tally.outcomes.items()):
        told = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
        lines.append(f"| `{name}` | {told} |")
    return "\n".join(lines)


def write(folder: Path, samples: list[Sample], tally: Tally, found: list[Trend], faults: list[str]) -> None:
    """Everything into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "samples.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Sample.columns())
        rows.writerows(sample.row() for sample in samples)
    grown = [f"- {trend.limit.unit}: {trend}" for trend in found] or ["- too short a run to see anything grow"]
    told = [f"- {fault}" for fault in faults] or ["Nothing wrong."]
    summary = [table(samples), "\n".join(grown), kinds(tally), "\n".join(told)]
    (folder / "summary.md").write_text("\n\n".join(summary) + "\n")
    (folder / "wrong.txt").write_text("".join(f"{one}\n" for one in tally.wrongs))


PLOTTED = [
    ("rss_kib", 1024 / 1e6, "resident memory, MB"),
    ("descriptors", 1, "open descriptors"),
    ("threads", 1, "threads"),
    ("median_ms", 1, "median latency, ms"),
]


def plot(file: Path, samples: list[Sample]) -> None:
    """Each sample on a thin line, each window's lower quartile as a line, over the minutes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(PLOTTED), sharex=True, figsize=(8, 7), layout="constrained")
    minutes = [sample.time_s / 60 for sample in samples]
    for axis, (column, scale, name) in zip(axes, PLOTTED, strict=True):
        axis.plot(minutes, [getattr(sample, column) * scale for sample in samples], linewidth=0.4, alpha=0.6)
        times, floors = windows([sample for sample in samples if not np.isnan(getattr(sample, column))], column)
        axis.plot(times / 60, floors * scale, linewidth=1.2, color="black")
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel(f"minutes; lines are the lower quartiles of {WINDOW_S / 60:.0f} minutes each")
    figure.savefig(file, metadata={"Date": None})


def read(folder: Path) -> list[Sample]:
    """The samples of a run."""
    with (folder / "samples.csv").open(newline="") as file:
        return [Sample(**{name: float(value) for name, value in row.items()}) for row in csv.DictReader(file)]


if __name__ == "__main__":
    plot(Path(sys.argv[1]) / "soak.svg", read(Path(sys.argv[1])))
