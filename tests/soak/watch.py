"""Looks at the server from outside: /proc and /metrics, every few seconds."""

import asyncio
import time
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from tally import TURNED_AWAY
from world import World

STATUS = {"VmRSS": "rss_kib", "RssAnon": "anonymous_kib", "Threads": "threads"}
GAUGES = {
    "cenet_images_in_flight": "images_in_flight",
    "cenet_grpc_calls_in_flight": "grpc_calls_in_flight",
    "cenet_memory_used_bytes": "memory_used_bytes",
    "process_cpu_seconds_total": "cpu_s",
}


@dataclass
class Sample:
    """The server at one moment."""

    time_s: float
    rss_kib: int
    anonymous_kib: int
    threads: int
    descriptors: int
    series: int
    images_in_flight: int
    grpc_calls_in_flight: int
    memory_used_bytes: int
    cpu_s: float
    requests: int
    answered: int
    turned_away: int
    wrong: int
    median_ms: float
    p99_ms: float

    @classmethod
    def columns(cls) -> list[str]:
        return [column.name for column in fields(cls)]

    def row(self) -> list[object]:
        return [getattr(self, name) for name in self.columns()]


@dataclass
class Watch:
    """Samples since the start."""

    world: World
    begun: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    async def every(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.samples.append(await self.look())

    async def look(self) -> Sample:
        tally, times_ms = self.world.tally, np.array(self.world.tally.take_times_s()) * 1000
        median_ms, p99_ms = np.percentile(times_ms, [50, 99]) if len(times_ms) else (float("nan"),) * 2
        return Sample(
            time_s=round(time.monotonic() - self.begun, 1),
            **process(self.world.server.process.pid),
            **await metrics(self.world),
            requests=tally.total(),
            answered=tally.total("ok"),
            turned_away=tally.total(TURNED_AWAY),
            wrong=tally.wrong_count,
            median_ms=round(float(median_ms), 2),
            p99_ms=round(float(p99_ms), 2),
        )


def process(pid: int) -> dict[str, int]:
    """What the system says of the process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    numbers = {ours: int(told[name].split()[0]) for name, ours in STATUS.items()}
    return numbers | {"descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir()))}


async def metrics(world: World) -> dict[str, float]:
    """What the server says of itself, and in how many series."""
    async with world.session.get(f"{world.url}/metrics") as response:
        text = await response.text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = dict(line.rsplit(" ", 1) for line in lines)
    told = {ours: float(values[name]) for name, ours in GAUGES.items()}
    whole = {name: value if name == "cpu_s" else int(value) for name, value in told.items()}
    return whole | {"series": len(lines)}
