"""Bad requests over gRPC."""

from typing import Any

import grpc

from subject import STEADY
from tally import WrongAnswerError
from traffic.bad_http import cut, letters
from traffic.good_grpc import TIMEOUT_S, stable_code
from world import World


async def refused(world: World) -> str:
    """Whole calls: a status with a stable code."""
    method, asked, status, code = world.random.choice(
        [
            ("Classify", {"model": letters(world), "images": [b"x"]}, grpc.StatusCode.NOT_FOUND, "model_not_found"),
            ("Detect", {"model": STEADY, "images": [b"x"]}, grpc.StatusCode.FAILED_PRECONDITION, "wrong_task"),
            ("Classify", {"images": []}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_request"),
            ("ModelInfer", {"model_name": letters(world)}, grpc.StatusCode.NOT_FOUND, "model_not_found"),
        ]
    )
    return await failure(
        world.services.unary(world.channel, method)(world.services.request(method, **asked), timeout=TIMEOUT_S),
        status,
        code,
    )


async def no_message(world: World) -> str:
    """Bytes that are no protobuf."""
    path = world.random.choice(["/cenet.v1.Vision/Classify", "/inference.GRPCInferenceService/ModelInfer"])
    send = world.channel.unary_unary(path)
    return await failure(send(b"\xff" * 100, timeout=TIMEOUT_S), grpc.StatusCode.INTERNAL, None)


async def no_method(world: World) -> str:
    send = world.channel.unary_unary(f"/cenet.v1.Vision/{letters(world)}")
    return await failure(send(b"", timeout=TIMEOUT_S), grpc.StatusCode.UNIMPLEMENTED, None)


async def broken_picture(world: World) -> str:
    """A picture's own error stands in its place."""
    asked = world.services.request("Classify", model=STEADY, images=[cut(world)])
    [result] = (await world.services.unary(world.channel, "Classify")(asked, timeout=TIMEOUT_S)).results
    if result.error.code != "invalid_image":
        raise WrongAnswerError(f"{result} for half a picture")
    return "invalid_image"


async def failure(call: Any, status: grpc.StatusCode, code: str | None) -> str:
    """The outcome's name, where the call fails as it has to; `code` None stands for any."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        if error.code() != status or code not in (None, stable_code(error)):
            raise WrongAnswerError(
                f"{error.code()} {stable_code(error)} instead of {status} {code}: {error.details()}"
            ) from None
        return status.name
    raise WrongAnswerError(f"an answer where {status} is due: {answer}")


TRAFFIC = {refused: 2, no_message: 0.5, no_method: 0.5, broken_picture: 1}
