"""What happens now and then: more requests at once than the server takes, and models that change."""

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable

import aiohttp

from asking import DETECT, ask, check_classified, check_detected, classify_path, code_of, detect_path
from pace import one
from subject import BROKEN, CHANGING, COMING, CROWDED, LARGE, STEADY
from tally import TURNED_AWAY, WrongAnswerError
from wire import expect
from world import World

BURST_REQUESTS = 60
# less than a model's queue holds
CROWD_REQUESTS = 48


async def burst(world: World) -> str:
    """Many times what the crowded model's queue holds, at once: each is answered right or turned away."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        request = functools.partial(one_of_many, session=session)
        await asyncio.gather(*(one(world, "burst.detect", request) for _ in range(BURST_REQUESTS)))
    return "over"


async def crowd(world: World) -> str:
    """For each model in turn as many pictures at once as fill every session's largest batch: it takes the most then."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for model in (STEADY, LARGE, CHANGING, COMING):
            request = functools.partial(classify_in_crowd, model=model, session=session)
            await asyncio.gather(*(one(world, "crowd.classify", request) for _ in range(CROWD_REQUESTS)))
        request = functools.partial(detect_in_crowd, session=session)
        await asyncio.gather(*(one(world, "crowd.detect", request) for _ in range(CROWD_REQUESTS)))
    return "over"


async def classify_in_crowd(world: World, model: str, session: aiohttp.ClientSession) -> str:
    name, file = world.picture()
    check_classified(world, model, name, await ask(world, classify_path(model), file, model, session))
    return "ok"


async def detect_in_crowd(world: World, session: aiohttp.ClientSession) -> str:
    name, file = world.picture()
    check_detected(world, name, await ask(world, DETECT, file, session=session))
    return "ok"


async def one_of_many(world: World, session: aiohttp.ClientSession) -> str:
    name, file = world.picture()
    try:
        check_detected(world, name, await ask(world, detect_path(CROWDED), file, session=session))
    except WrongAnswerError as error:
        if error.code != "overloaded":
            raise
        return TURNED_AWAY
    return "ok"


async def change(world: World, method: str, model: str) -> tuple[int, str | None]:
    """Status and code of a call that changes a model."""
    async with world.session.request(method, f"{world.url}/v1/models/{model}") as response:
        return response.status, code_of(await response.text()) if response.status >= 400 else None


async def load(world: World, model: str) -> str:
    answer = await change(world, "PUT", model)
    if answer != (200, None):
        raise WrongAnswerError(f"loading {model}: {answer}")
    return "loaded"


async def swap(world: World, variant: str) -> str:
    await asyncio.to_thread(world.repository.put, variant)
    return await load(world, CHANGING)


async def unload(world: World) -> str:
    world.coming.changes += 1
    status, code = await change(world, "DELETE", COMING)
    world.coming.there = False
    world.coming.changes += 1
    if status != 204:
        raise WrongAnswerError(f"unloading: {status} {code}")
    return "unloaded"


async def come_back(world: World) -> str:
    world.coming.changes += 1
    outcome = await load(world, COMING)
    world.coming.there = True
    world.coming.changes += 1
    return outcome


async def refuse(world: World) -> str:
    """A model that can't be loaded."""
    await asyncio.to_thread(world.repository.break_one)
    return expect(422, "model_refused", *await change(world, "PUT", BROKEN))


async def reload_the_same(world: World) -> str:
    """What is asked most is loaded anew under way; then who asks for it knows no difference."""
    outcome = await load(world, STEADY)
    await ask(world, classify_path(STEADY), world.pictures["png_rgb.png"])
    return outcome


CHANGES: list[Callable[[World], Awaitable[str]]] = [
    lambda world: swap(world, "int8"),
    unload,
    lambda world: swap(world, "float"),
    come_back,
    reload_the_same,
    refuse,
]


def reloads() -> Callable[[World], Awaitable[str]]:
    """The next of the changes at each call; a round of them ends as it began."""
    coming = itertools.cycle(CHANGES)

    async def reload(world: World) -> str:
        return await next(coming)(world)

    return reload


async def each_once(world: World) -> None:
    """So that a short run leaves none out."""
    await one(world, "crowd", crowd)
    await one(world, "burst", burst)
    for kind in CHANGES:
        await one(world, "reload", kind)
