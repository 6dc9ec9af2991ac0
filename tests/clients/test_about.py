"""What the server tells about itself and its models."""

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from faces import Face, pictures, plain
from golden import CLASSIFIER, DETECTOR, INPUT, SCORES, Golden

EXTENSIONS = {"binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"}
DURATIONS = ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"]


def sizes(shape: list) -> list[int]:
    """gRPC's 64-bit numbers are text once they are JSON."""
    return [int(size) for size in shape]


def statistics(face: Face, *model: str) -> dict[str, dict]:
    stats = plain(face.client.get_inference_statistics(*model))["model_stats"]
    return {entry["name"]: entry for entry in stats}


def test_server_is_live_and_ready(face: Face):
    assert face.client.is_server_live()
    assert face.client.is_server_ready()


@pytest.mark.parametrize("version", ["", "1"])
def test_model_is_ready(face: Face, version: str):
    assert face.client.is_model_ready(CLASSIFIER.name, version)


@pytest.mark.parametrize(("model", "version"), [("nobody", ""), (CLASSIFIER.name, "7")])
def test_model_that_is_not_there_is_not_ready(face: Face, model: str, version: str):
    # Triton's own server answers an error or false; its client makes false of the first over HTTP alone.
    try:
        assert not face.client.is_model_ready(model, version)
    except InferenceServerException as error:
        assert face.name == "grpc"
        assert error.status() == face.status("not found")


def test_server_metadata(face: Face):
    metadata = plain(face.client.get_server_metadata())
    assert metadata["name"] == "cenet-serve"
    assert metadata["version"][0].isdigit()
    # What is promised is tried by these tests.
    assert set(metadata["extensions"]) >= EXTENSIONS if face.name == "http" else EXTENSIONS - {"binary_tensor_data"}
    assert not {"cuda_shared_memory", "system_shared_memory", "trace", "logging"} & set(metadata["extensions"])


@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("model", [CLASSIFIER, DETECTOR], ids=lambda model: model.name)
def test_model_metadata(face: Face, model: Golden, version: str):
    metadata = plain(face.client.get_model_metadata(model.name, version))
    assert metadata["name"] == model.name
    assert metadata["versions"] == ["1"]
    assert metadata["platform"] == "onnx_onnxv1"
    [tensor] = metadata["inputs"]
    assert (tensor["name"], tensor["datatype"], sizes(tensor["shape"])) == (
        INPUT,
        "FP32",
        [-1, *model.tensor.shape[1:]],
    )
    found = {output["name"]: output for output in metadata["outputs"]}
    assert found.keys() == model.outputs.keys()
    for name, expected in model.outputs.items():
        assert found[name]["datatype"] == "FP32"
        # a network may leave open what follows from its input
        shape = sizes(found[name]["shape"])
        assert [said if said != -1 else size for said, size in zip(shape, expected.shape, strict=True)] == list(
            expected.shape
        )


def test_model_config(face: Face):
    config = plain(face.client.get_model_config(CLASSIFIER.name, "1"))
    config = config.get("config", config)
    assert config["name"] == CLASSIFIER.name
    assert config["max_batch_size"] >= 1
    [tensor] = config["input"]
    # a size of batches is said, so the sizes that follow are one picture's
    assert (tensor["name"], tensor["data_type"], sizes(tensor["dims"])) == (INPUT, "TYPE_FP32", [3, 64, 64])
    [output] = config["output"]
    assert (output["name"], output["data_type"], sizes(output["dims"])) == (SCORES, "TYPE_FP32", [3])


def test_statistics_have_every_number(face: Face):
    face.infer(CLASSIFIER.name, CLASSIFIER.tensor)
    everything = statistics(face)
    assert everything.keys() >= {CLASSIFIER.name, DETECTOR.name}
    entry = everything[CLASSIFIER.name]
    assert int(entry["version"]) == 1
    assert int(entry["last_inference"]) > 0
    for name in DURATIONS:
        assert int(entry["inference_stats"][name]["count"]) >= 0
        assert int(entry["inference_stats"][name]["ns"]) >= 0


def test_statistics_count_pictures(face: Face):
    def counts() -> tuple[int, int, int]:
        [entry] = statistics(face, CLASSIFIER.name, "1").values()
        success = entry["inference_stats"]["success"]
        return int(entry["inference_count"]), int(entry["execution_count"]), int(success["count"])

    before = counts()
    face.infer(CLASSIFIER.name, np.repeat(CLASSIFIER.tensor, 2, axis=0))
    pictures, executions, requests = (after - early for after, early in zip(counts(), before, strict=True))
    assert pictures == 2
    assert 1 <= executions <= 2
    assert requests == 1


def test_statistics_count_failures(face: Face):
    def failures() -> int:
        return int(statistics(face, CLASSIFIER.name)[CLASSIFIER.name]["inference_stats"]["fail"]["count"])

    before = failures()
    with pytest.raises(InferenceServerException):
        face.infer(CLASSIFIER.name, pictures(CLASSIFIER.picture[:9000]))
    assert failures() == before + 1


@pytest.mark.parametrize("model", [("nobody",), (CLASSIFIER.name, "7")], ids=["model", "version"])
def test_what_is_not_there_is_not_described(face: Face, model: tuple[str, ...]):
    for ask in (face.client.get_model_metadata, face.client.get_model_config, face.client.get_inference_statistics):
        with pytest.raises(InferenceServerException) as failure:
            ask(*model)
        assert failure.value.status() == face.status("not found")
        assert ("version" if model[1:] else model[0]) in failure.value.message()
