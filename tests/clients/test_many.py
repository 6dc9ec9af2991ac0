"""Many requests at once: without waiting for each, and as a stream."""

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from faces import Face, pictures
from golden import CLASSIFIER, SCORES, assert_close
from serving import Server

PATIENCE_S = 60
SCALES = [1.0, -1.0, 0.5, 2.0, 0.25, 1.5, -0.5, 3.0, 0.1, -2.0]


@pytest.fixture
def expected(http: Face) -> list[np.ndarray]:
    """The answer to the tensor at each scale, asked for one at a time."""
    return [http.infer(CLASSIFIER.name, tensor(scale)).as_numpy(SCORES) for scale in SCALES]


def tensor(scale: float) -> np.ndarray:
    return CLASSIFIER.tensor * np.float32(scale)


def test_async_over_http(server: Server, expected: list[np.ndarray]):
    face = Face("http", server, concurrency=4)
    under_way = [face.client.async_infer(CLASSIFIER.name, [face.input(tensor(scale))]) for scale in SCALES]
    for request, scores in zip(under_way, expected, strict=True):
        assert_close(request.get_result(timeout=PATIENCE_S).as_numpy(SCORES), scores)
    face.client.close()


def test_async_error_over_http(http: Face):
    request = http.client.async_infer("nobody", [http.input(CLASSIFIER.tensor)])
    with pytest.raises(InferenceServerException) as failure:
        request.get_result(timeout=PATIENCE_S)
    assert failure.value.status() == http.status("not found")


class Answers:
    """What a callback of Triton's gRPC client is told, by the requests' ids."""

    def __init__(self) -> None:
        self._arrived = queue.Queue()

    def __call__(self, result: Any, error: InferenceServerException | None) -> None:
        self._arrived.put((result, error))

    def take(self) -> tuple[Any, InferenceServerException | None]:
        return self._arrived.get(timeout=PATIENCE_S)

    def scores(self, count: int) -> dict[int, np.ndarray]:
        found = {}
        for _ in range(count):
            result, error = self.take()
            assert error is None
            found[int(result.get_response().id)] = result.as_numpy(SCORES)
        return found


def assert_all(found: dict[int, np.ndarray], expected: list[np.ndarray]) -> None:
    assert sorted(found) == list(range(len(expected)))
    for number, scores in enumerate(expected):
        assert_close(found[number], scores)


def test_async_over_grpc(grpc: Face, expected: list[np.ndarray]):
    answers = Answers()
    for number, scale in enumerate(SCALES):
        inputs = [grpc.input(tensor(scale))]
        grpc.client.async_infer(CLASSIFIER.name, inputs, callback=answers, request_id=str(number))
    assert_all(answers.scores(len(SCALES)), expected)


@pytest.fixture
def stream(grpc: Face) -> Iterator[tuple[Face, Answers]]:
    answers = Answers()
    grpc.client.start_stream(answers)
    yield grpc, answers
    grpc.client.stop_stream()


def test_stream(stream: tuple[Face, Answers], expected: list[np.ndarray]):
    face, answers = stream
    for number, scale in enumerate(SCALES):
        face.client.async_stream_infer(CLASSIFIER.name, [face.input(tensor(scale))], request_id=str(number))
    assert_all(answers.scores(len(SCALES)), expected)


def test_an_error_does_not_end_the_stream(stream: tuple[Face, Answers], expected: list[np.ndarray]):
    face, answers = stream
    face.client.async_stream_infer("nobody", [face.input(CLASSIFIER.tensor)])
    _, error = answers.take()
    assert "nobody" in error.message()
    face.client.async_stream_infer(CLASSIFIER.name, [face.input(pictures(b"no picture"))])
    _, error = answers.take()
    assert error.message()
    face.client.async_stream_infer(CLASSIFIER.name, [face.input(tensor(SCALES[0]))], request_id="0")
    assert_close(answers.scores(1)[0], expected[0])


def test_a_stream_that_is_given_up_harms_nobody(grpc: Face):
    answers = Answers()
    grpc.client.start_stream(answers)
    for _ in range(20):
        grpc.client.async_stream_infer(CLASSIFIER.name, [grpc.input(CLASSIFIER.tensor)])
    grpc.client.stop_stream(cancel_requests=True)
    assert_close(grpc.infer(CLASSIFIER.name, CLASSIFIER.tensor).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])
