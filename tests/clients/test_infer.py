"""Inference as it should go."""

import numpy as np
import pytest

from faces import Face, pictures
from golden import CLASSIFIER, DETECTOR, INPUT, SCORES, Golden, assert_close

MODELS = pytest.mark.parametrize("model", [CLASSIFIER, DETECTOR], ids=lambda model: model.name)


def assert_outputs(result, model: Golden) -> None:
    for name, expected in model.outputs.items():
        assert_close(result.as_numpy(name), expected)


@MODELS
@pytest.mark.parametrize("version", ["", "1"])
def test_tensor(face: Face, model: Golden, version: str):
    assert_outputs(face.infer(model.name, model.tensor, model_version=version), model)


@MODELS
def test_picture(face: Face, model: Golden):
    assert_outputs(face.infer(model.name, pictures(model.picture)), model)


def test_answer_says_whose_it_is(face: Face):
    answer = face.infer(CLASSIFIER.name, CLASSIFIER.tensor, request_id="order 66").get_response()
    said = answer.get if face.name == "http" else lambda key: getattr(answer, key)
    assert (said("model_name"), said("model_version"), said("id")) == (CLASSIFIER.name, "1", "order 66")


def test_without_an_id_none_comes_back(face: Face):
    answer = face.infer(CLASSIFIER.name, CLASSIFIER.tensor).get_response()
    assert not (answer.get("id") if face.name == "http" else answer.id)


@pytest.mark.parametrize("shape", [(3,), (3, 1)], ids=str)
def test_several_pictures(face: Face, shape: tuple[int, ...]):
    batch = pictures(CLASSIFIER.picture, DETECTOR.picture, CLASSIFIER.picture).reshape(shape)
    scores = face.infer(CLASSIFIER.name, batch).as_numpy(SCORES)
    assert scores.shape == (3, len(CLASSIFIER.labels))
    assert_close(scores[:1], CLASSIFIER.outputs[SCORES])
    assert_close(scores[2:], CLASSIFIER.outputs[SCORES])
    assert not np.allclose(scores[1:2], CLASSIFIER.outputs[SCORES], rtol=1e-3)


def test_several_tensors(face: Face):
    batch = np.concatenate([CLASSIFIER.tensor, -CLASSIFIER.tensor, CLASSIFIER.tensor])
    scores = face.infer(CLASSIFIER.name, batch).as_numpy(SCORES)
    assert_close(scores[:1], CLASSIFIER.outputs[SCORES])
    assert_close(scores[2:], CLASSIFIER.outputs[SCORES])


def test_a_batch_of_many_megabytes(face: Face):
    batch = np.repeat(DETECTOR.tensor, 4, axis=0)
    assert batch.nbytes > 8 << 20
    result = face.infer(DETECTOR.name, batch)
    for name, expected in DETECTOR.outputs.items():
        assert_close(result.as_numpy(name)[3:], expected)


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
def test_json_tensors(http: Face, binary_input: bool, binary_output: bool):
    tensor = http.module.InferInput(INPUT, list(CLASSIFIER.tensor.shape), "FP32")
    tensor.set_data_from_numpy(CLASSIFIER.tensor, binary_data=binary_input)
    result = http.client.infer(CLASSIFIER.name, [tensor], outputs=[http.output(SCORES, binary_data=binary_output)])
    assert_outputs(result, CLASSIFIER)
    assert ("data" in result.get_output(SCORES)) != binary_output


def test_some_outputs(face: Face):
    wanted = ["box_16", "class_32"]
    result = face.infer(DETECTOR.name, DETECTOR.tensor, outputs=[face.output(name) for name in wanted])
    for name in wanted:
        assert_close(result.as_numpy(name), DETECTOR.outputs[name])
    outputs = result.get_response()["outputs"] if face.name == "http" else result.get_response().outputs
    assert [output["name"] if face.name == "http" else output.name for output in outputs] == wanted


def test_outputs_of_both_kinds(http: Face):
    wanted = [
        http.output("class_32", binary_data=False),
        http.output("box_32"),
        http.output("centerness_32", binary_data=False),
    ]
    result = http.infer(DETECTOR.name, DETECTOR.tensor, outputs=wanted)
    for name in ("class_32", "box_32", "centerness_32"):
        assert_close(result.as_numpy(name), DETECTOR.outputs[name])


@pytest.mark.parametrize("asked", [1, 2, 3, 100])
@pytest.mark.parametrize("data", [CLASSIFIER.tensor, pictures(CLASSIFIER.picture)], ids=["tensor", "picture"])
def test_classification(face: Face, data: np.ndarray, asked: int):
    result = face.infer(CLASSIFIER.name, data, outputs=[face.output(SCORES, class_count=asked)])
    scores = CLASSIFIER.outputs[SCORES][0]
    best = np.argsort(-scores)[:asked]
    classes = result.as_numpy(SCORES)
    assert classes.shape == (1, len(best))
    for text, index in zip(classes[0], best, strict=True):
        value, number, label = text.decode().split(":")
        assert (int(number), label) == (index, CLASSIFIER.labels[index])
        assert float(value) == pytest.approx(scores[index], rel=1e-3, abs=1e-4)


def test_classification_of_several(face: Face):
    batch = np.repeat(CLASSIFIER.tensor, 2, axis=0)
    classes = face.infer(CLASSIFIER.name, batch, outputs=[face.output(SCORES, class_count=2)]).as_numpy(SCORES)
    assert classes.shape == (2, 2)
    assert list(classes[0]) == list(classes[1])


def test_classification_as_json(http: Face):
    wanted = [http.output(SCORES, class_count=1, binary_data=False)]
    result = http.infer(CLASSIFIER.name, CLASSIFIER.tensor, outputs=wanted)
    [text] = result.get_output(SCORES)["data"]
    assert text.split(":")[2] == CLASSIFIER.labels[CLASSIFIER.outputs[SCORES].argmax()]


@pytest.mark.parametrize("priority", [1, 2, 1000])
def test_priority(face: Face, priority: int):
    assert_outputs(face.infer(CLASSIFIER.name, CLASSIFIER.tensor, priority=priority), CLASSIFIER)


def test_timeout_that_suffices(face: Face):
    assert_outputs(face.infer(CLASSIFIER.name, CLASSIFIER.tensor, timeout=60_000_000), CLASSIFIER)


def test_parameters_of_others_are_no_error(face: Face):
    result = face.infer(CLASSIFIER.name, CLASSIFIER.tensor, parameters={"trace": "on", "depth": 3, "deep": True})
    assert_outputs(result, CLASSIFIER)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("sides", ["request", "response", "request and response"])
def test_compression_over_http(http: Face, algorithm: str, sides: str):
    options = {f"{side}_compression_algorithm": algorithm for side in sides.split(" and ")}
    assert_outputs(http.infer(DETECTOR.name, DETECTOR.tensor, **options), DETECTOR)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_over_grpc(grpc: Face, algorithm: str):
    assert_outputs(grpc.infer(DETECTOR.name, DETECTOR.tensor, compression_algorithm=algorithm), DETECTOR)
