"""What is wrong with a request is told: the status of its class, and what to look at. The next request is answered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from faces import Face, pictures
from golden import CLASSIFIER, DETECTOR, SCORES, assert_close
from serving import Server

TENSOR = CLASSIFIER.tensor


def resized(face: Face, data: np.ndarray, *shape: int) -> Any:
    """An input that says another shape than its data has."""
    return face.input(data).set_shape(list(shape))


def broken(picture: bytes) -> np.ndarray:
    return pictures(picture[: len(picture) // 2])


def ask(*inputs: np.ndarray, model: str = CLASSIFIER.name, **options: Any) -> Callable[[Face], Any]:
    return lambda face: face.client.infer(model, [face.input(data) for data in inputs], **options)


def ask_for(output: str, **options: Any) -> Callable[[Face], Any]:
    return lambda face: face.infer(CLASSIFIER.name, TENSOR, outputs=[face.output(output, **options)])


def ask_with(make: Callable[[Face], Any]) -> Callable[[Face], Any]:
    return lambda face: face.client.infer(CLASSIFIER.name, [make(face)])


# case: request, class of the error, words of its message
CASES = {
    "unknown model": (ask(TENSOR, model="nobody"), "not found", ["nobody"]),
    "unknown version": (ask(TENSOR, model_version="7"), "not found", ["version"]),
    "version that is no number": (ask(TENSOR, model_version="new"), "invalid", ["version"]),
    "another height": (ask(TENSOR[:, :, :32]), "invalid", ["input", "32", "64"]),
    "dimension too few": (ask(TENSOR[0]), "invalid", ["input", "64"]),
    "dimension too many": (ask(TENSOR[None]), "invalid", ["input", "64"]),
    "empty batch": (ask(TENSOR[:0]), "invalid", ["input"]),
    "double": (ask(TENSOR.astype(np.float64)), "invalid", ["input", "FP64", "FP32"]),
    "integers": (ask(TENSOR.astype(np.int32)), "invalid", ["input", "INT32", "FP32"]),
    "no input": (ask(), "invalid", ["input"]),
    "unknown input": (ask_with(lambda face: face.input(TENSOR, "image")), "invalid", ["image", "input"]),
    "an input too many": (
        lambda face: face.client.infer(CLASSIFIER.name, [face.input(TENSOR), face.input(TENSOR, "image")]),
        "invalid",
        ["input", "2"],
    ),
    "an input twice": (ask(TENSOR, TENSOR), "invalid", ["input"]),
    "unknown output": (ask_for("probabilities"), "invalid", ["probabilities", SCORES]),
    "classes of an unknown output": (ask_for("probabilities", class_count=2), "invalid", ["probabilities"]),
    "negative classification": (ask_for(SCORES, class_count=-1), "invalid", ["-1"]),
    "too much data": (
        ask_with(lambda face: resized(face, np.repeat(TENSOR, 2, axis=0), 1, 3, 64, 64)),
        "invalid",
        ["input"],
    ),
    "too little data": (ask_with(lambda face: resized(face, TENSOR, 2, 3, 64, 64)), "invalid", ["input"]),
    "negative shape": (ask_with(lambda face: resized(face, TENSOR, -1, 3, 64, 64)), "invalid", ["input"]),
    "shape beyond numbers": (ask_with(lambda face: resized(face, TENSOR, 2**62, 3, 2**62, 64)), "invalid", ["input"]),
    "no picture": (ask(pictures(b"no picture at all")), "no picture", ["picture"]),
    "empty picture": (ask(pictures(b"")), "invalid", ["empty"]),
    "broken picture": (ask(broken(CLASSIFIER.picture)), "broken picture", []),
    "one bad picture of three": (
        ask(pictures(CLASSIFIER.picture, b"?", CLASSIFIER.picture)),
        "no picture",
        ["picture"],
    ),
    "no pictures": (ask(pictures()), "invalid", ["input"]),
    "pictures in two columns": (
        ask(pictures(CLASSIFIER.picture, CLASSIFIER.picture).reshape(1, 2)),
        "invalid",
        ["[N]"],
    ),
    "time that has passed": (ask(DETECTOR.tensor, model=DETECTOR.name, timeout=1), "too late", []),
}


@pytest.mark.parametrize("case", CASES)
def test_error(face: Face, case: str):
    request, kind, words = CASES[case]
    with pytest.raises(InferenceServerException) as failure:
        request(face)
    assert failure.value.status() == face.status(kind), failure.value.message()
    for word in words:
        assert word in failure.value.message()
    assert_close(face.infer(CLASSIFIER.name, TENSOR).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])


def test_more_bytes_than_the_server_takes(face: Face):
    huge = np.zeros((60, 3, 384, 512), np.float32)
    with pytest.raises(InferenceServerException) as failure:
        face.infer(DETECTOR.name, huge)
    too_large = {"http": ["413"], "grpc": ["StatusCode.RESOURCE_EXHAUSTED", "StatusCode.OUT_OF_RANGE"]}
    assert failure.value.status() in too_large[face.name]


def test_client_that_does_not_wait_over_http(server: Server):
    hasty = Face("http", server, network_timeout=0.001)
    with pytest.raises(TimeoutError):
        hasty.infer(DETECTOR.name, DETECTOR.tensor)
    patient = Face("http", server, network_timeout=60.0, connection_timeout=60.0)
    assert_close(patient.infer(CLASSIFIER.name, TENSOR).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])


def test_client_that_does_not_wait_over_grpc(grpc: Face):
    with pytest.raises(InferenceServerException) as failure:
        grpc.infer(DETECTOR.name, DETECTOR.tensor, client_timeout=0.001)
    assert failure.value.status() == grpc.status("too late")
    result = grpc.infer(CLASSIFIER.name, TENSOR, client_timeout=60.0)
    assert_close(result.as_numpy(SCORES), CLASSIFIER.outputs[SCORES])


@pytest.mark.parametrize("ask", ["get_trace_settings", "get_log_settings", "get_system_shared_memory_status"])
def test_extensions_that_are_not_there(face: Face, ask: str):
    with pytest.raises(InferenceServerException) as failure:
        getattr(face.client, ask)()
    assert failure.value.status() in {"404", "StatusCode.UNIMPLEMENTED"}


def test_shared_memory_is_refused(face: Face):
    tensor = face.module.InferInput("input", list(TENSOR.shape), "FP32")
    tensor.set_shared_memory("region", TENSOR.nbytes)
    with pytest.raises(InferenceServerException) as failure:
        face.client.infer(CLASSIFIER.name, [tensor])
    assert failure.value.status() == face.status("invalid")
    assert "input" in failure.value.message()
