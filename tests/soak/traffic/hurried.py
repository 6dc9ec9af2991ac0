"""Requests whose time may be too short: right, or told that it has passed."""

import grpc

from asking import DETECT, check_detected, code_of
from traffic.good_grpc import boxes_of
from wire import expect
from world import World

LATE = "deadline_exceeded"


async def http(world: World) -> str:
    name, file = world.picture()
    headers = {"X-Request-Timeout-Ms": str(world.random.choice([1, 2, 5, 10, 20, 40]))}
    async with world.session.post(world.url + DETECT, data=file, headers=headers) as response:
        if response.status == 200:
            check_detected(world, name, await response.json())
            return "ok"
        return expect(504, LATE, response.status, code_of(await response.text()))


async def huge(world: World) -> str:
    """Its time passes while it is decoded."""
    headers = {"X-Request-Timeout-Ms": "10"}
    async with world.session.post(f"{world.url}/detect", data=world.huge, headers=headers) as response:
        return expect(504, LATE, response.status, code_of(await response.text()))


async def over_grpc(world: World) -> str:
    """Whoever looks first, client or server, says that the time has passed."""
    name, file = world.picture()
    asked = world.services.request("Detect", images=[file], threshold=0.5)
    try:
        timeout_s = world.random.choice([0.001, 0.005, 0.02, 0.04])
        [result] = (await world.services.unary(world.channel, "Detect")(asked, timeout=timeout_s)).results
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        return LATE
    world.truth.check_boxes(name, boxes_of(result))
    return "ok"


TRAFFIC = {http: 1.5, huge: 0.1, over_grpc: 1}
