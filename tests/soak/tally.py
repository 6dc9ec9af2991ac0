"""What became of the requests, by kind of traffic."""

import collections
import sys
from dataclasses import dataclass, field

MOST_KEPT = 200
TURNED_AWAY = "turned away"


class WrongAnswerError(Exception):
    """An answer that isn't the one that is due, with the stable code that it has, if any."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


@dataclass
class Tally:
    """Counts since the start, and times since they were taken last."""

    outcomes: dict[str, collections.Counter] = field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )
    wrongs: list[str] = field(default_factory=list)
    wrong_count: int = 0
    times_s: list[float] = field(default_factory=list)

    def count(self, kind: str, outcome: str, time_s: float) -> None:
        self.outcomes[kind][outcome] += 1
        if outcome == "ok":
            self.times_s.append(time_s)

    def wrong(self, kind: str, reason: str) -> None:
        """Tells it at once, and keeps the first ones."""
        print(f"wrong: {kind}: {reason}", file=sys.stderr, flush=True)
        self.outcomes[kind]["WRONG"] += 1
        self.wrong_count += 1
        if len(self.wrongs) < MOST_KEPT:
            self.wrongs.append(f"{kind}: {reason}")

    def total(self, outcome: str | None = None) -> int:
        return sum(count for kind in self.outcomes.values() for name, count in kind.items() if outcome in (None, name))

    def take_times_s(self) -> list[float]:
        """Of good answers since the last call."""
        taken, self.times_s = self.times_s, []
        return taken
