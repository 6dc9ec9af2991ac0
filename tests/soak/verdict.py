"""Whether a run was good: nothing wrong, and nothing that grows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from watch import Sample

# two rounds of bursts and of changes, with the options' defaults
WINDOW_S = 180
# of what is seen in a window, what is held where nothing special is under way
QUANTILE = 0.25
TEN_MINUTES_S = 600
FEWEST_WINDOWS = 5


class Limit(NamedTuple):
    """How fast a column may grow."""

    column: str
    unit: str
    # of the unit, in a unit of the column
    scale: float
    most_per_ten_minutes: float


LIMITS = [
    Limit("rss_kib", "MB", 1024 / 1e6, 1.0),
    Limit("descriptors", "descriptors", 1, 1.0),
    Limit("threads", "threads", 1, 0.5),
    Limit("series", "series", 1, 2.0),
]


@dataclass
class Trend:
    """How fast a column grew."""

    limit: Limit
    per_ten_minutes: float

    @property
    def fine(self) -> bool:
        return self.per_ten_minutes <= self.limit.most_per_ten_minutes

    def __str__(self) -> str:
        most = self.limit.most_per_ten_minutes
        return f"{self.per_ten_minutes:+.2f} {self.limit.unit} in ten minutes, at most {most:g}"


def windows(samples: list[Sample], column: str) -> tuple[np.ndarray, np.ndarray]:
    """The lower quartile of each window, and the window's middle in seconds."""
    times = np.array([sample.time_s for sample in samples])
    values = np.array([getattr(sample, column) for sample in samples], float)
    number = (times // WINDOW_S).astype(int)
    whole = np.unique(number)
    return (whole + 0.5) * WINDOW_S, np.array([np.quantile(values[number == one], QUANTILE) for one in whole])


def slope(times: np.ndarray, values: np.ndarray) -> float:
    """Theil and Sen's: the median of the slopes between all pairs of points, which few outliers don't move."""
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])))


def trends(samples: list[Sample], warm_up_s: float) -> list[Trend]:
    """Of each limit's column after the warm-up; none where too little is left to tell."""
    late = [sample for sample in samples if sample.time_s >= warm_up_s]
    found = []
    for limit in LIMITS:
        times, values = windows(late, limit.column)
        if len(times) < FEWEST_WINDOWS:
            return []
        found.append(Trend(limit, slope(times, values) * limit.scale * TEN_MINUTES_S))
    return found


# what may be more at rest than it was at rest before: threads that wait a while for more work
MOST_LEFT = {"images_in_flight": 0, "grpc_calls_in_flight": 0, "memory_used_bytes": 0, "descriptors": 0, "threads": 2}


def left_over(before: Sample, after: Sample) -> list[str]:
    """What is held still though nobody asks any more."""
    now = {name: getattr(after, name) - getattr(before, name) for name in MOST_LEFT}
    return [f"{more} more {name} at rest" for name, more in now.items() if more > MOST_LEFT[name]]
