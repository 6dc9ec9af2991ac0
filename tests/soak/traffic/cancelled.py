"""Clients that break off: before, in and after what they send, and before and in what they are sent."""

from asking import DETECT, classify_path
from expected import TOP_K
from subject import STEADY
from traffic.good_grpc import requests
from wire import post, wire
from world import World

GONE = "gone"


async def while_sending(world: World) -> str:
    _, file = world.picture()
    async with wire(world.server.http) as client:
        await client.send(post(classify_path(STEADY), len(file)) + file[: world.random.randrange(len(file))])
    return GONE


async def in_a_form(world: World) -> str:
    _, file = world.picture()
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n' + file
    async with wire(world.server.http) as client:
        await client.send(post("/detect", 2 * len(part), "multipart/form-data; boundary=x") + part)
    return GONE


async def before_the_answer(world: World) -> str:
    """The request is whole; nobody waits for what becomes of it."""
    _, file = world.picture()
    async with wire(world.server.http) as client:
        await client.send(post(DETECT, len(file)) + file)
        if world.random.random() < 0.5:
            # no more is sent, which isn't the same as being gone: the answer may still be read
            client.writer.write_eof()
    return GONE


async def in_the_answer(world: World) -> str:
    """After its first bytes, of some hundred thousand."""
    file = world.pictures["jpeg_420_q90.jpg"]
    async with wire(world.server.http, small_buffer=True) as client:
        await client.send(post(DETECT, len(file), Accept="image/png") + file)
        await client.reader.read(1000)
    return GONE


async def grpc_call(world: World) -> str:
    _, file = world.picture()
    asked = world.services.request("Detect", images=[file])
    call = world.services.unary(world.channel, "Detect")(asked)
    await call.wait_for_connection()
    call.cancel()
    return GONE


async def grpc_stream(world: World) -> str:
    """After its first answer."""
    call = world.services.stream(world.channel, "ClassifyStream")(requests(world, world.some_pictures(10)))
    await call.read()
    call.cancel()
    return GONE


async def grpc_connection(world: World) -> str:
    """With all its calls."""
    channel = world.services.channel()
    asked = world.services.request("Classify", model=STEADY, images=[world.picture()[1]], top_k=TOP_K)
    calls = [world.services.unary(channel, "Classify")(asked) for _ in range(3)]
    await calls[0].wait_for_connection()
    await channel.close(grace=None)
    return GONE


TRAFFIC = {
    while_sending: 2,
    in_a_form: 1,
    before_the_answer: 2,
    in_the_answer: 1,
    grpc_call: 1,
    grpc_stream: 1,
    grpc_connection: 0.5,
}
