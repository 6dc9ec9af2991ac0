"""The table of what was measured."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from asking import Load


class Turn(NamedTuple):
    """One server in one round."""

    many: Load
    one: Load
    memory_mb: float
    start_s: float


class Row(NamedTuple):
    """One server in all rounds."""

    label: str
    version: str
    turns: list[Turn]

    def median(self, of: str, load: str | None = None) -> float:
        """Of a turn's field, or of a field of its load `many` or `one`."""
        return median(getattr(getattr(turn, load) if load else turn, of) for turn in self.turns)


def table(rows: Sequence[Row], clients: int) -> str:
    """Markdown; ratios are to the first row, round by round, as the machine may drift."""
    head = f"| server | {clients} clients: images/s | to {rows[0].label} | p50 / p99 ms | 1 client: images/s | "
    head += f"to {rows[0].label} | memory (PSS), MB | first answer, s | failed |"
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    return "\n".join(lines + [_line(row, rows[0]) for row in rows])


def _line(row: Row, first: Row) -> str:
    failed = sum(turn.many.failed + turn.one.failed for turn in row.turns)
    cells = [
        f"{row.label} {row.version}",
        f"{row.median('images_per_s', 'many'):.1f} ({_spread(row)})",
        f"{_ratio(row, first, 'many'):.2f}",
        f"{row.median('p50_ms', 'many'):.1f} / {row.median('p99_ms', 'many'):.1f}",
        f"{row.median('images_per_s', 'one'):.1f}",
        f"{_ratio(row, first, 'one'):.2f}",
        f"{row.median('memory_mb'):.0f}",
        f"{row.median('start_s'):.2f}",
        str(failed),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(row: Row) -> str:
    rates = [turn.many.images_per_s for turn in row.turns]
    return f"{min(rates):.1f} to {max(rates):.1f}"


def _ratio(row: Row, first: Row, load: str) -> float:
    pairs = zip(row.turns, first.turns, strict=True)
    rates = [[getattr(turn, load).images_per_s for turn in pair] for pair in pairs]
    return median(mine / firsts if firsts else 0.0 for mine, firsts in rates)


def conditions(rows: Sequence[Row], network: str, pictures: int, seconds: float, checked: int, busy: float) -> str:
    """What the numbers hold for: of `checked` pictures labels were compared, `busy` was the load before."""
    client = median(turn.many.client_ms for row in rows for turn in row.turns)
    machine = f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    said = (
        f"{network} on {machine}; load average before: {busy:.2f}.",
        f"{pictures} JPEGs in turn over loopback, closed loops of {seconds:g} s after a warm-up,",
        f"{len(rows[0].turns)} rounds of all servers, each in another order.",
        "Medians (least to most); ratios are taken round by round.",
        f"Best labels are {rows[0].label}'s, for all {checked} pictures that were looked at.",
        f"The client (`cenet-serve bench`) runs on the same cores: {client:.2f} ms of processor time a request.",
    )
    return "\n".join(said)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
