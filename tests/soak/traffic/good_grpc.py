"""Good requests over gRPC: single calls and streams, pictures and tensors."""

from typing import Any

import grpc
import numpy as np

from asking import Exchange
from expected import THRESHOLD, TOP_K, Box, Labels
from golden import CLASSIFIER, INPUT
from subject import DETECTOR, STEADY
from tally import WrongAnswerError
from traffic.good_http import check_scores
from world import World

TIMEOUT_S = 300


async def classify(world: World) -> str:
    model, pictures = world.classifier(), world.some_pictures(3)
    asked = world.services.request("Classify", model=model, images=[file for _, file in pictures], top_k=TOP_K)
    answer = await call(world, "Classify", asked, model)
    for (name, _), result in zip(pictures, answer.results, strict=True):
        world.truth.check_labels(model, name, labels_of(result))
    return "ok"


async def detect(world: World) -> str:
    name, file = world.picture()
    asked = world.services.request("Detect", model=DETECTOR, images=[file], threshold=THRESHOLD)
    [result] = (await call(world, "Detect", asked, "")).results
    world.truth.check_boxes(name, boxes_of(result))
    return "ok"


async def on_a_connection_of_its_own(world: World) -> str:
    name, file = world.picture()
    asked = world.services.request("Classify", model=STEADY, images=[file], top_k=TOP_K)
    async with world.services.channel() as channel:
        [result] = (await call(world, "Classify", asked, STEADY, channel)).results
    world.truth.check_labels(STEADY, name, labels_of(result))
    return "ok"


async def stream(world: World) -> str:
    """Answers come in the requests' order, each with its own id."""
    pictures = world.some_pictures(10)
    replies = world.services.stream(world.channel, "ClassifyStream")(requests(world, pictures), timeout=TIMEOUT_S)
    number = 0
    async for reply in replies:
        name, _ = pictures[number]
        if reply.id != str(number):
            raise WrongAnswerError(f"reply {number} has the id {reply.id!r}")
        number += 1
        [result] = reply.response.results or [reply]
        world.truth.check_labels(STEADY, name, labels_of(result))
    if number != len(pictures):
        raise WrongAnswerError(f"{number} replies to {len(pictures)} requests")
    return "ok"


async def requests(world: World, pictures: list[tuple[str, bytes]]) -> Any:
    for number, (_, file) in enumerate(pictures):
        yield world.services.request("ClassifyStream", id=str(number), model=STEADY, images=[file], top_k=TOP_K)


def tensor_request(world: World, method: str) -> Any:
    """The golden tensor."""
    described = {"name": INPUT, "datatype": "FP32", "shape": list(CLASSIFIER.tensor.shape)}
    raw = [CLASSIFIER.tensor.tobytes()]
    return world.services.request(method, model_name="float", inputs=[described], raw_input_contents=raw)


async def tensor(world: World) -> str:
    answer = await call(world, "ModelInfer", tensor_request(world, "ModelInfer"), "")
    check_scores(np.frombuffer(answer.raw_output_contents[0], np.float32))
    return "ok"


async def tensor_stream(world: World) -> str:
    asked = [tensor_request(world, "ModelStreamInfer")] * world.random.randint(2, 10)
    async for reply in world.services.stream(world.channel, "ModelStreamInfer")(iter(asked), timeout=TIMEOUT_S):
        if reply.error_message:
            raise WrongAnswerError(reply.error_message)
        check_scores(np.frombuffer(reply.infer_response.raw_output_contents[0], np.float32))
    return "ok"


async def call(world: World, method: str, asked: Any, model: str, channel: grpc.aio.Channel | None = None) -> Any:
    """The answer to one call.

    Raises:
        NotThereError: The model may have been away.
        WrongAnswerError: Another status than OK.
    """
    exchange = Exchange(world, model)
    try:
        answer = await world.services.unary(channel or world.channel, method)(asked, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise exchange.refused(stable_code(error), f"{error.code()}: {error.details()}") from None
    exchange.answered()
    return answer


def stable_code(error: grpc.aio.AioRpcError) -> str | None:
    return dict(error.trailing_metadata() or ()).get("cenet-error-code")


def labels_of(result: Any) -> Labels:
    if result.HasField("error"):
        raise WrongAnswerError(f"{result.error.code}: {result.error.message}", result.error.code)
    return [(one.label, one.score) for one in result.classification.predictions]


def boxes_of(result: Any) -> list[Box]:
    if result.HasField("error"):
        raise WrongAnswerError(f"{result.error.code}: {result.error.message}", result.error.code)
    found = result.detections.detections
    return [Box(one.label, one.score, (one.box.x1, one.box.y1, one.box.x2, one.box.y2)) for one in found]


TRAFFIC = {classify: 8, detect: 2, on_a_connection_of_its_own: 2, stream: 2, tensor: 5, tensor_stream: 1}
