"""Sends traffic at a steady mean rate, whatever becomes of it."""

import asyncio
import time
from collections.abc import Awaitable

from asking import NotThereError
from traffic import KINDS, Kind, name_of
from world import World

# fewer than a model's queue holds: whoever isn't of a burst has to be let in, however busy the machine is
MOST_UNDER_WAY = 24


class Pace:
    """What is under way of the traffic."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._under_way: set[asyncio.Task] = set()
        self._places = asyncio.Semaphore(MOST_UNDER_WAY)

    def begin(self, name: str, kind: Kind) -> asyncio.Task:
        task = asyncio.create_task(one(self._world, name, kind))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def requests(self, per_second: float) -> None:
        """Random kinds at random moments, for ever; fewer where the server doesn't keep up."""
        kinds, shares = list(KINDS), list(KINDS.values())
        loop, random = asyncio.get_running_loop(), self._world.random
        due = loop.time()
        while True:
            due = max(due + random.expovariate(per_second), loop.time())
            await asyncio.sleep(due - loop.time())
            await self._places.acquire()
            kind = random.choices(kinds, shares)[0]
            self.begin(name_of(kind), kind).add_done_callback(lambda _: self._places.release())

    async def every(self, seconds: float, name: str, kind: Kind) -> None:
        """`kind` again and again, never twice at once."""
        while True:
            await asyncio.sleep(seconds)
            # whoever ends the repeating lets the last one come to its end
            await asyncio.wait([self.begin(name, kind)])

    async def end(self) -> None:
        """Waits for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)


async def one(world: World, name: str, kind: Kind) -> None:
    """Makes one request and counts what became of it; whatever isn't foreseen is wrong."""
    begun = time.monotonic()
    try:
        outcome = await kind(world)
    except NotThereError:
        outcome = "not there"
    except Exception as error:
        return world.tally.wrong(name, repr(error))
    return world.tally.count(name, outcome, time.monotonic() - begun)


async def each_kind_once(world: World) -> None:
    """So that a short run leaves none out."""
    for kind in KINDS:
        await one(world, name_of(kind), kind)


async def for_seconds(seconds: float, *endless: Awaitable[None]) -> None:
    """Runs all of `endless` for that long; an exception in one ends all."""
    tasks = [asyncio.ensure_future(one) for one in endless]
    done, pending = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
