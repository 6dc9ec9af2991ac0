"""Triton's clients for asyncio, which speak HTTP through another library than the blocking one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from faces import Face, pictures
from golden import CLASSIFIER, DETECTOR, SCORES, assert_close
from serving import Server

AIO = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}


def run(server: Server, face: Face, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """What `use` gives of a client that is open as long as it runs."""

    async def connected() -> Any:
        async with AIO[face.name].InferenceServerClient(getattr(server, face.name)) as client:
            return await use(client)

    return asyncio.run(connected())


def test_many_at_once(server: Server, face: Face):
    scales = [1.0, -1.0, 0.5, 2.0] * 5
    expected = [face.infer(CLASSIFIER.name, CLASSIFIER.tensor * np.float32(scale)).as_numpy(SCORES) for scale in scales]

    async def use(client: Any) -> list[Any]:
        inputs = [face.input(CLASSIFIER.tensor * np.float32(scale)) for scale in scales]
        return await asyncio.gather(*(client.infer(CLASSIFIER.name, [one]) for one in inputs))

    for result, scores in zip(run(server, face, use), expected, strict=True):
        assert_close(result.as_numpy(SCORES), scores)


@pytest.mark.parametrize("data", [DETECTOR.tensor, pictures(DETECTOR.picture)], ids=["tensor", "picture"])
def test_many_outputs(server: Server, face: Face, data: np.ndarray):
    result = run(server, face, lambda client: client.infer(DETECTOR.name, [face.input(data)]))
    for name, expected in DETECTOR.outputs.items():
        assert_close(result.as_numpy(name), expected)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_over_http(server: Server, http: Face, algorithm: str):
    options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    result = run(server, http, lambda client: client.infer(DETECTOR.name, [http.input(DETECTOR.tensor)], **options))
    for name, expected in DETECTOR.outputs.items():
        assert_close(result.as_numpy(name), expected)


def test_errors(server: Server, face: Face):
    with pytest.raises(InferenceServerException) as failure:
        run(server, face, lambda client: client.infer("nobody", [face.input(CLASSIFIER.tensor)]))
    assert failure.value.status() == face.status("not found")
    assert "nobody" in failure.value.message()


def test_index(server: Server, face: Face):
    assert run(server, face, lambda client: client.is_server_ready())
    assert run(server, face, lambda client: client.get_model_repository_index())


def test_stream(server: Server, grpc: Face):
    async def requests() -> Any:
        for number in range(5):
            inputs = [grpc.input(CLASSIFIER.tensor)]
            yield {"model_name": CLASSIFIER.name, "inputs": inputs, "request_id": str(number)}

    async def use(client: Any) -> list[Any]:
        return [answer async for answer in client.stream_infer(requests())]

    answers = run(server, grpc, use)
    assert sorted(result.get_response().id for result, _ in answers) == ["0", "1", "2", "3", "4"]
    for result, error in answers:
        assert error is None
        assert_close(result.as_numpy(SCORES), CLASSIFIER.outputs[SCORES])
