"""The learning curves of a run: a CSV file with a line an epoch, and a plot of it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes


@dataclass(frozen=True)
class Axis:
    """One side of the plot; `lines` maps a line's name to the field of the records that it shows."""

    label: str
    lines: Mapping[str, str]
    percent: bool = False


def write_csv(records: Sequence[Any], file: Path) -> None:
    """`records` are dataclasses of one type, at least one."""
    rows = [{key: round(value, 6) for key, value in asdict(record).items()} for record in records]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plot(records: Sequence[Any], title: str, left: Axis, right: Axis, file: Path) -> None:
    """Lines over the records' `epoch`."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.set(xlabel="epoch", title=title)
    _draw(axes, records, left, "C0")
    _draw(axes.twinx(), records, right, "C1")
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _draw(axes: Axes, records: Sequence[Any], axis: Axis, color: str) -> None:
    epochs = [record.epoch for record in records]
    factor = 100 if axis.percent else 1
    for (name, key), style in zip(axis.lines.items(), ("-", "--", ":"), strict=False):
        axes.plot(epochs, [factor * getattr(record, key) for record in records], f"{color}{style}", label=name)
    axes.set(ylabel=axis.label, **({"ylim": (0, 100)} if axis.percent else {}))
