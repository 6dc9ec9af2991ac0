"""The model repository: its index, loading, unloading."""

import pytest
from tritonclient.utils import InferenceServerException

from conftest import SPARE
from faces import Face, plain
from golden import CLASSIFIER, DETECTOR, SCORES, assert_close


def index(face: Face) -> dict[str, dict]:
    answer = plain(face.client.get_model_repository_index())
    entries = answer if face.name == "http" else answer["models"]
    return {entry["name"]: entry for entry in entries}


def test_index(face: Face):
    models = index(face)
    assert models.keys() >= {CLASSIFIER.name, DETECTOR.name}
    for name in (CLASSIFIER.name, DETECTOR.name):
        assert models[name]["version"] == "1"
        assert models[name]["state"] == "READY"


def test_unload_and_load(face: Face):
    face.client.unload_model(SPARE)
    assert index(face).get(SPARE, {}).get("state") != "READY"
    with pytest.raises(InferenceServerException) as failure:
        face.infer(SPARE, CLASSIFIER.tensor)
    assert failure.value.status() == face.status("not found")
    face.client.load_model(SPARE)
    assert index(face)[SPARE]["state"] == "READY"
    assert face.client.is_model_ready(SPARE)
    assert_close(face.infer(SPARE, CLASSIFIER.tensor).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])


def test_load_replaces_what_is_served(face: Face):
    face.client.load_model(SPARE)
    assert_close(face.infer(SPARE, CLASSIFIER.tensor).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])


@pytest.mark.parametrize("name", ["nobody", "..", "../models", "/etc", ""])
def test_what_is_not_in_the_repository_is_not_loaded(face: Face, name: str):
    for change in (face.client.load_model, face.client.unload_model):
        with pytest.raises(InferenceServerException) as failure:
            change(name)
        assert failure.value.message()
    assert face.client.is_server_ready()


@pytest.mark.parametrize(
    "override", [{"config": '{"max_batch_size": 1}'}, {"config": "{}", "files": {"file:1/model.onnx": b"x"}}]
)
def test_overrides_are_refused(face: Face, override: dict):
    """Triton's client can send a configuration and files along; to ignore them would be to lie."""
    with pytest.raises(InferenceServerException) as failure:
        face.client.load_model(SPARE, **override)
    assert failure.value.status() == face.status("invalid")


def test_changes_need_the_operator(fixed_face: Face):
    face = fixed_face
    assert index(face)[CLASSIFIER.name]["state"] == "READY"
    for change in (face.client.load_model, face.client.unload_model):
        with pytest.raises(InferenceServerException) as failure:
            change(CLASSIFIER.name)
        assert failure.value.status() == face.status("not allowed")
        assert "--model-control" in failure.value.message()
    assert_close(face.infer(CLASSIFIER.name, CLASSIFIER.tensor).as_numpy(SCORES), CLASSIFIER.outputs[SCORES])
