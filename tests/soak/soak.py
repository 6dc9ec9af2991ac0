"""Soaks the server in mixed traffic: `make soak`. Every answer is checked, and what the server holds is watched.

Ends with status 1 when an answer was wrong, or memory, descriptors, threads or metrics grew.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

import aiohttp

import events
import report
from pace import Pace, each_kind_once, for_seconds
from quiet import learn
from serving import CHECKOUT, Server
from subject import Repository, subject
from verdict import left_over, trends
from vision import Services
from watch import Sample, Watch
from world import World

SAMPLE_S = 5
PROGRESS_S = 30
# how long what is left after the last request may take to go
SETTLE_S = 120


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=40, help="requests a second (default: %(default)s)")
    parser.add_argument("--burst-seconds", type=float, default=90, help="between bursts (default: %(default)s)")
    parser.add_argument(
        "--reload-seconds", type=float, default=15, help="between changes of models (default: %(default)s)"
    )
    parser.add_argument("--warm-up-seconds", type=float, help="not looked at for growth (default: a sixth of the run)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=CHECKOUT / ".cache/soak", help="folder (default: %(default)s)")
    return parser.parse_args(arguments)


class Run:
    """One run against one server."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.faults: list[str] = []
        self.samples: list[Sample] = []
        self.before: Sample | None = None

    def run(self) -> World:
        """Starts a server, soaks it, and stops it in order."""
        with subject() as (server, repository):
            return asyncio.run(self.soak(server, repository))

    async def soak(self, server: Server, repository: Repository) -> World:
        services = await asyncio.to_thread(Services, server.grpc)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, services.channel() as channel:
            world = World(server, repository, session, services, channel, random.Random(self.asked.seed))
            await learn(world)
            self.before = await Watch(world).look()
            await self.drive(world)
        self.faults += await self.settle(world)
        return world

    async def drive(self, world: World) -> None:
        watch, pace = Watch(world, samples=self.samples), Pace(world)
        await each_kind_once(world)
        await events.each_once(world)
        await for_seconds(
            self.asked.seconds,
            pace.requests(self.asked.rate),
            pace.every(self.asked.burst_seconds, "burst", events.burst),
            pace.every(self.asked.reload_seconds, "reload", events.reloads()),
            watch.every(SAMPLE_S),
            self.tell(world),
        )
        await pace.end()
        self.samples.append(await watch.look())

    async def tell(self, world: World) -> None:
        """A line of progress now and then."""
        while True:
            await asyncio.sleep(PROGRESS_S)
            last = self.samples[-1]
            print(
                f"{last.time_s:6.0f} of {self.asked.seconds:.0f} s: {last.requests:,} requests, "
                f"{last.turned_away:,} turned away, {last.wrong} wrong; {last.rss_kib * 1024 / 1e6:.1f} MB, "
                f"{last.descriptors} descriptors, {last.threads} threads, median {last.median_ms} ms",
                flush=True,
            )

    async def settle(self, world: World) -> list[str]:
        """What the server still holds when all clients are gone; waits for it to let go."""
        left, deadline = ["nothing was looked at"], asyncio.get_running_loop().time() + SETTLE_S
        while left and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(1)
            # with the one connection that was there before
            async with aiohttp.ClientSession() as world.session:
                left = left_over(self.before, await Watch(world).look())
        return left

    def conclude(self, world: World) -> int:
        """Writes the report; the exit status."""
        asked, tally = self.asked, world.tally
        warm_up_s = asked.seconds / 6 if asked.warm_up_seconds is None else asked.warm_up_seconds
        found = trends(self.samples, warm_up_s)
        self.faults += [f"{tally.wrong_count} wrong answers, see wrong.txt"] if tally.wrong_count else []
        self.faults += [f"{trend.limit.column} grows: {trend}" for trend in found if not trend.fine]
        report.write(asked.output, self.samples, tally, found, self.faults)
        print((asked.output / "summary.md").read_text())
        return 1 if self.faults else 0


def main() -> int:
    run = Run(options())
    status = run.conclude(run.run())
    report.plot(run.asked.output / "soak.svg", run.samples)
    return status


if __name__ == "__main__":
    sys.exit(main())
