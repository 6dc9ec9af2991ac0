"""Clients that take their time: to send, to read, to say anything at all."""

import asyncio
import json

from asking import Exchange, check_classified, classify_path
from subject import DETECTOR, STEADY
from tally import WrongAnswerError
from wire import Answer, post, wire
from world import World

PIECES = 12
PAUSE_S = 0.4
# the server's option --header-timeout-ms, and time to notice
LONGEST_HEAD_S = 60


async def sender(world: World) -> str:
    """Answered right in the end, and again on the same connection."""
    name, file = world.picture()
    exchange = Exchange(world, STEADY)
    async with wire(world.server.http) as client:
        await client.send(post(classify_path(STEADY), len(file)))
        for start in range(0, len(file), len(file) // PIECES + 1):
            await client.send(file[start : start + len(file) // PIECES + 1])
            await asyncio.sleep(PAUSE_S * world.random.random())
        await check(world, exchange, name, await client.answer())
        exchange = Exchange(world, STEADY)
        await client.send(post(classify_path(STEADY), len(file)) + file)
        await check(world, exchange, name, await client.answer())
    return "ok"


async def check(world: World, exchange: Exchange, name: str, answer: Answer) -> None:
    if answer.status != 200:
        raise exchange.refused(answer.json().get("code"), f"status {answer.status}")
    check_classified(world, STEADY, name, answer.json())


async def reader(world: World) -> str:
    """A detector's raw numbers as JSON are half a million bytes."""
    file = world.pictures["jpeg_420_q90.jpg"]
    exchange = Exchange(world, "")
    async with wire(world.server.http, small_buffer=True) as client:
        head = post(f"/v2/models/{DETECTOR}/infer", len(file), Inference_Header_Content_Length="0")
        await client.send(head + file)
        answer = await client.answer(pause_s=0.05, piece_bytes=16 << 10)
    if answer.status != 200:
        raise exchange.refused(answer.json().get("code"), f"status {answer.status}")
    outputs = answer.json()["outputs"]
    if not outputs or any(len(one["data"]) == 0 for one in outputs):
        raise WrongAnswerError(f"outputs without data: {json.dumps(outputs)[:300]}")
    return "ok"


async def half_a_head(world: World) -> str:
    """Is hung up on."""
    async with wire(world.server.http) as client:
        await client.send(b"POST /classify HTTP/1.1\r\nHost: soak\r\n")
        async with asyncio.timeout(LONGEST_HEAD_S):
            while await client.reader.read(1000):
                pass
    return "hung up"


async def silent(world: World) -> str:
    """Connects, says nothing for a while, and goes."""
    address = world.random.choice([world.server.http, world.server.grpc])
    async with wire(address):
        await asyncio.sleep(5 * world.random.random())
    return "gone"


TRAFFIC = {sender: 1, reader: 0.5, half_a_head: 0.5, silent: 0.5}
